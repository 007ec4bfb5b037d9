"""Box sensitivity: boxes that go astray, faces without boxes, the rows and the picture."""

import cv2
import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.evaluation import boxes
from jaxalign.evaluation.boxes import Jittered, comparable, parse_kinds, sensitivity
from jaxalign.evaluation.results import Results
from jaxalign.geometry import landmark_box, square
from jaxalign.schemes import IBUG68
from tests.helpers.fakes import PROTOCOL


def sample(index, *kinds):
    points = np.random.default_rng(index).uniform(20, 120, (68, 2)).astype(np.float32)
    points[36], points[45] = (40, 60), (90, 60)
    box = landmark_box(points)
    moved = {"dataset": box + 3, "detector": box + np.float32([5, 0, 5, 0])}
    return {
        "id": f"face_{index}",
        "points": points,
        "boxes": {"landmarks": box} | {kind: moved[kind] for kind in kinds},
    }


SOURCE = [sample(i, "detector") for i in range(30)]


def predict(source, kind):
    """A system whose points are off as far as its crop's centre is."""
    samples = list(source)
    truth = np.stack([sample["points"] for sample in samples])
    crops = np.stack([square(sample["boxes"][kind], 1)[0] for sample in samples])
    true = np.stack([square(landmark_box(points), 1)[0] for points in truth])
    ids = [sample["id"] for sample in samples]
    predicted = truth + (crops - true)[:, None]
    nothing = [()] * len(ids)
    return Results(
        ids=ids,
        predicted=predicted,
        truth=truth,
        score=None,
        visible=np.ones(truth.shape[:2]),
        subsets=nothing,
        scheme=IBUG68,
    )


def test_jitter_moves_by_the_share_of_the_side_and_scales_about_the_centre():
    first = SOURCE[0]["boxes"]["landmarks"]
    centre, side = square(first, 1)
    shifted = Jittered(SOURCE, shift=0.2)[0]
    moved, same = square(shifted["boxes"]["landmarks"], 1)
    assert np.linalg.norm(moved - centre) == pytest.approx(0.2 * side, rel=1e-5)
    assert same == pytest.approx(side, rel=1e-6)
    assert shifted["boxes"]["detector"] is SOURCE[0]["boxes"]["detector"]
    assert shifted["points"] is SOURCE[0]["points"]
    still, wide = square(Jittered(SOURCE, scale=1.2)[0]["boxes"]["landmarks"], 1)
    np.testing.assert_allclose(still, centre, rtol=1e-6)
    assert wide == pytest.approx(1.2 * side, rel=1e-6)
    assert len(Jittered(SOURCE)) == 30
    np.testing.assert_allclose(Jittered(SOURCE)[0]["boxes"]["landmarks"], first, rtol=1e-6)


def test_directions_are_seeded_all_around_and_the_same_for_every_shift():
    def steps(**settings):
        source = Jittered(SOURCE, **settings)
        pairs = zip(source, SOURCE, strict=True)
        return np.stack([(a["boxes"]["landmarks"] - b["boxes"]["landmarks"])[:2] for a, b in pairs])

    small, large = steps(shift=0.05), steps(shift=0.2)
    np.testing.assert_allclose(4 * small, large, atol=1e-3)
    np.testing.assert_array_equal(steps(shift=0.2), large)
    assert (np.abs(steps(shift=0.2, seed=1) - large) > 0.1).any()
    assert {(x > 0, y > 0) for x, y in large} == {(a, b) for a in (0, 1) for b in (0, 1)}


def test_rows_by_hand():
    rows = sensitivity(SOURCE, ("landmarks", "detector", "jitter"), predict, PROTOCOL)
    assert [boxes.label(row) for row in rows] == [
        "landmarks", "detector", "jitter: shift 0", "jitter: shift 0.05", "jitter: shift 0.1",
        "jitter: shift 0.15", "jitter: shift 0.2", "jitter: scale 0.8", "jitter: scale 0.9",
        "jitter: scale 1", "jitter: scale 1.1", "jitter: scale 1.2",
    ]  # fmt: skip
    assert rows[0]["nme"] == 0 and rows[0]["faces"] == 30
    assert rows[1]["nme"] == rows[1]["change"] == 0.1  # 5 pixels of 50 between the eyes
    assert rows[1]["interval"]["nme"] == rows[1]["change_interval"] == [0.1, 0.1]
    sides = np.mean([square(face["boxes"]["landmarks"], 1)[1] for face in SOURCE])
    assert rows[6]["nme"] == pytest.approx(0.2 * sides / 50, rel=1e-3)
    assert rows[6]["nme"] == pytest.approx(4 * rows[3]["nme"], rel=1e-2)
    assert rows[7]["nme"] == pytest.approx(0, abs=1e-4)


def test_untouched_boxes_are_predicted_once():
    asked = []

    def counted(source, kind):
        asked.append(kind)
        return predict(source, kind)

    sensitivity(SOURCE, ("landmarks", "jitter"), counted, PROTOCOL)
    assert asked == ["landmarks"] * 9


def test_faces_without_a_box_leave_every_row_and_are_told():
    mixed = [sample(0, "detector"), sample(1), sample(2, "detector")]
    faces, kinds, notes = comparable(mixed, ("landmarks", "dataset", "detector", "jitter"))
    assert [face["id"] for face in faces] == ["face_0", "face_2"]
    assert kinds == ("landmarks", "detector", "jitter")
    assert notes == [
        "no face has a dataset box: left out",
        "1 of 3 faces left out of every row: 1 lack a detector box",
    ]
    assert comparable(SOURCE, ("landmarks",))[2] == []
    with pytest.raises(InputError, match="no face has a dataset box; add landmarks"):
        comparable(SOURCE, ("dataset",))
    with pytest.raises(InputError, match="no face has all of these boxes: dataset, detector"):
        comparable([sample(0, "dataset"), sample(1, "detector")], ("dataset", "detector"))


def test_kinds_are_named():
    assert parse_kinds("jitter, landmarks") == ("landmarks", "jitter")
    with pytest.raises(InputError, match="no kind of box 'face'; choose landmarks,dataset"):
        parse_kinds("landmarks,face")


@pytest.mark.parametrize("kinds", [("landmarks", "detector", "jitter"), ("detector",), ("jitter",)])
def test_files(tmp_path, kinds):
    rows = sensitivity(SOURCE, kinds, predict, PROTOCOL)
    table = boxes.sensitivity_table(rows, PROTOCOL)
    assert table.rows[0][-1] == "-"
    boxes.write_boxes(tmp_path / "r", rows, table, PROTOCOL, {"notes": ["a note"]})
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == sorted(
        {*boxes.FILES, ".jaxalign-boxes"}
    )
    lines = (tmp_path / "r/boxes.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows) and len({line.count(",") for line in lines}) == 1
    assert cv2.imread(str(tmp_path / "r/boxes.png")).std() > 5
    assert "a note" in (tmp_path / "r/boxes.md").read_text()
