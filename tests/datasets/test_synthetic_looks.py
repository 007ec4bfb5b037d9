"""The looks of drawn heads: what hides points, and that features are drawn where points are."""

from dataclasses import replace

import numpy as np
import pytest

from jaxalign.curves import CONTOUR_SAMPLES, INDICES, USED
from jaxalign.datasets.synthetic_faces import covers, hats, lighting, styles, wear
from jaxalign.datasets.synthetic_faces.camera import Camera, landmarks
from jaxalign.datasets.synthetic_faces.head import Head
from jaxalign.datasets.synthetic_faces.render import draw, seen
from jaxalign.datasets.synthetic_faces.scene import Covers, Light, Look, Scene


def plain(camera=None, **look):
    """A scene without chance: even light, no covers."""
    colours = {"skin": (150, 180, 222), "hair": (30, 30, 35), "iris": (120, 80, 40),
               "shirt": (120, 60, 60)}  # fmt: skip
    look = Look(**{k: np.array(v, float) for k, v in colours.items()}, **look)
    return Scene(Head().shape, camera or Camera(), look, Light(), Covers())


def visible68(scene):
    found = np.zeros(USED.max() + 1, bool)
    found[USED] = seen(scene, Head(), landmarks(Head(), scene.camera))
    return found[INDICES["ibug68"]]


def picture(scene, size=128):
    return draw(scene, Head(), size, np.random.default_rng(0)).astype(float)


def test_a_low_cap_hides_the_brows_and_a_headband_does_not():
    cap = replace(plain(), covers=Covers(hat=wear.Hat(kind="cap", low=-0.12)))
    assert not visible68(cap)[17:27].any() and visible68(cap)[36:].all()
    band = replace(plain(), covers=Covers(hat=wear.Hat(kind="band", low=-0.8)))
    assert visible68(band).all()


def test_a_headscarf_leaves_the_face_open():
    scarf = replace(plain(), covers=Covers(hat=wear.Hat(kind="scarf", low=-0.8)))
    assert visible68(scarf)[17:].all()


def test_hair_before_one_cheek_hides_that_side_of_the_contour():
    one = plain(style="long", strands=styles.Strands(curtain=(0.3, None)))
    found = visible68(one)
    assert not found[1:5].any() and found[9:15].all() and found[36:].all()
    behind = replace(one, camera=Camera(yaw=-45))
    bare = replace(behind, look=replace(behind.look, strands=styles.Strands()))
    assert (visible68(behind) == visible68(bare)).all()


@pytest.mark.parametrize("kind", covers.THINGS)
def test_what_is_held_hides_what_it_covers(kind):
    thing = wear.Thing(kind, 0.0, Head().mouth_y, colour=(0.0, 0, 255), second=(0.0, 0, 255))
    held = replace(plain(), covers=Covers(thing=thing))
    found = visible68(held)
    assert not found[[62, 66]].any() and found[36:48].all()
    x, y = held.camera.pixels(landmarks(Head(), held.camera), 128)[
        np.searchsorted(USED, INDICES["ibug68"][62])
    ]
    change = np.abs(picture(held) - picture(plain())).max(2)
    assert change[round(y), round(x)] > 20


def test_brows_are_darkest_on_their_middle_curve():
    scene = plain(Camera(scale=0.3), brows=styles.Brows(colour=(0.0, 0, 0), hairs=0.3))
    without = replace(
        scene, look=replace(scene.look, brows=styles.Brows(colour=(0.0, 0, 0), strength=0.0))
    )
    size = 512
    dark = np.clip(picture(without, size) - picture(scene, size), 0, None).sum(2)
    middles = np.concatenate([Head().curves[f"{side}brow_mid"][15:46:10] for side in "lr"])
    for x, y in scene.camera.pixels(Head().lift(middles), size):
        column = dark[round(y) - 40 : round(y) + 40, round(x) - 8 : round(x) + 8].sum(1)
        middle = (column * np.arange(len(column))).sum() / column.sum() + round(y) - 40
        assert abs(middle - y) < 0.04 * scene.camera.scale * size


def test_a_beard_hangs_below_the_chin():
    style = styles.Whiskers(length=0.4, colour=(250.0, 0, 0))
    scene = plain(whiskers=style, beard=1.0)
    chin = scene.camera.pixels(Head().points(np.array([CONTOUR_SAMPLES // 2])), 128)[0]
    change = np.abs(picture(scene) - picture(plain())).max(2)
    assert change[round(chin[1]) + 4, round(chin[0])] > 40
    assert change[round(chin[1]) - 6, round(chin[0])] > 40


def test_the_chin_throws_a_shadow_on_both_sides_of_the_neck():
    dark, none = (
        picture(plain(neck=styles.Neck(shadow=shadow, shadow_drop=0.2))) for shadow in (0.8, 0.0)
    )
    chin = Camera().pixels(Head().points(np.array([CONTOUR_SAMPLES // 2])), 128)[0]
    for aside in (-8, 0, 8):
        at = round(chin[1]) + 3, round(chin[0]) + aside
        assert dark[at].sum() < 0.6 * none[at].sum()


def test_a_double_chin_is_set_off_by_a_crease():
    bare, none = (
        picture(plain(neck=styles.Neck(shadow=0.05, double=0.25, crease=c))) for c in (0.9, 0.0)
    )
    chin = Camera().pixels(Head().points(np.array([CONTOUR_SAMPLES // 2])), 128)[0]
    below = bare[round(chin[1]) + 2, round(chin[0])]
    assert below.sum() < 0.75 * none[round(chin[1]) + 2, round(chin[0])].sum()


def test_a_soft_jaw_blurs_its_edge_where_it_lies():
    hard, soft = (picture(plain(neck=styles.Neck(soft=s)), 256) for s in (0.0, 0.05))
    contour = Camera().pixels(Head().points(np.arange(CONTOUR_SAMPLES)), 256)
    change = np.abs(hard - soft).max(2)
    for share in (0.3, 0.5, 0.7):
        x, y = np.rint(contour[round(share * (CONTOUR_SAMPLES - 1))]).astype(int)
        assert change[y - 3 : y + 4, x - 3 : x + 4].max() > 4
    assert change[:100].max() == 0


def test_the_nose_shades_the_cheek_away_from_the_lamp():
    head = Head()
    places = head.lift(np.array([[(-0.3, 0.45), (0.3, 0.45), (0.0, -0.7)]]))
    shadow = lighting.cast_shadow(head, places, np.array([-0.85, -0.2, 0.48]))[0]
    assert shadow[1] > 0.8 and shadow[0] < 0.1 and shadow[2] < 0.1


def test_gloss_whitens_where_the_lamp_is_mirrored():
    head = Head()
    light = Light(direction=(0.0, 0.0, 1.0), style=styles.Lighting(gloss=0.5))
    scene = replace(plain(), light=light)
    _, gloss = lighting.lit(scene, np.array([[0.0, 0, 1], [0.9, 0, 0.44]]))
    assert gloss[0] == pytest.approx(0.5) and gloss[1] < 0.01
    assert lighting.shelter(head, head.lift(np.array([[(0.35, -0.06), (0.0, -0.8)]])))[0, 0] > 0.5


@pytest.mark.parametrize("yaw", (-85, 0, 60))
@pytest.mark.parametrize("kind", ("cap", "beanie", "brim", "helmet", "hood", "scarf", "band"))
def test_every_hat_is_drawn_at_every_turn(kind, yaw):
    scene = plain(Camera(yaw=yaw))
    hat = wear.Hat(kind=kind, brim=0.5 * (kind in ("cap", "brim")), colour=(0.0, 255, 0))
    worn = replace(scene, covers=Covers(hat=hat))
    assert (np.abs(picture(worn) - picture(scene)).max(2) > 60).sum() > 150
    edge = hats.edge_of(hat, np.radians([-40.0, 40.0]))
    assert edge[0] == edge[1]


@pytest.mark.parametrize("collar", ("", "shirt", "tie", "turtle", "scarf", "open"))
def test_collars_and_double_chins_leave_the_face_alone(collar):
    neck = styles.Neck(collar=collar, double=0.2, pattern=0.5, length=-0.3)
    scene = plain(neck=neck)
    change = np.abs(picture(scene) - picture(plain())).max(2)
    mouth = scene.camera.pixels(np.array([0.0, Head().mouth_y, 1.0]), 128)
    assert change[: round(mouth[1]), 40:88].max() < 25 and change.max() > 25


def test_styles_by_chance_reach_their_extremes():
    rng = np.random.default_rng(0)
    skin, hair = np.full(3, 180.0), np.full(3, 40.0)
    brows = [styles.brows(rng, skin, hair, False).strength for _ in range(200)]
    assert min(brows) < 0.3 and max(brows) > 0.95
    kinds = {wear.thing(rng, 0.9).kind for _ in range(200)}
    assert kinds == set(covers.THINGS)
    beards = [styles.whiskers(rng, hair, 0.5) for _ in range(200)]
    assert min(s for _, s in beards) < 0.2 and max(b.length for b, _ in beards) > 0.3
