"""The reader of AFLW2000-3D: yaw bins by list and by annotation, re-annotated points, faults."""

import numpy as np
import pytest

from jaxalign.datasets.aflw2000_3d import (
    BENCHMARK,
    NEW_POSES,
    ORIGINAL,
    POSES,
    REANNOTATED,
    faces,
)
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.trees_3d import make_aflw2000, write_pair


YAWS = (0.5, -30.5, 59.5, -60.5, 95)
BINS = ["yaw_0_30", "yaw_30_60", "yaw_30_60", "yaw_60_90", "yaw_60_90"]


def save(folder, name, rows):
    folder.mkdir(exist_ok=True)
    np.save(folder / name, np.float32(rows))


def models(made):
    return [np.concatenate([p.T + 1, np.full((1, 68), n)]) for n, p in enumerate(made.values())]


def test_points_and_bins_by_annotation(tmp_path):
    made = make_aflw2000(tmp_path, YAWS)
    read = list(faces(tmp_path))
    assert [face.id for face in read] == list(made) and all(f.split == "test" for f in read)
    assert [face.subsets for face in read] == [(name,) for name in BINS]
    assert [face.yaw for face in read] == pytest.approx(YAWS, abs=1e-4)
    for face in read:
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id])
        assert check_face(face) is None
    assert list(faces(tmp_path / "AFLW2000"))[0].id == "image00002"


@pytest.mark.parametrize(
    ("poses", "sizes"),
    [("list", (1312, 383, 305)), ("new", (1306, 462, 232)), ("annotation", (1312, 383, 305))],
)
def test_complete_counts(poses, sizes):
    counts = BENCHMARK.expected(BENCHMARK.parse_options([f"poses={poses}"]))
    assert tuple(counts[name] for name in sorted(set(BINS))) == sizes
    assert sum(sizes) == counts["test"] == 2000


def test_bins_by_the_second_list(tmp_path):
    make_aflw2000(tmp_path, YAWS)
    save(tmp_path / "lists", POSES, YAWS)
    with pytest.raises(InputError, match="AFLW2000-3D-new.pose.npy is missing"):
        list(faces(tmp_path, poses="new"))
    save(tmp_path / "lists", NEW_POSES, YAWS[::-1])
    read = list(faces(tmp_path, poses="new"))
    assert [face.subsets[0] for face in read] == [BINS[i] for i in (4, 3, 2, 1, 0)]
    assert [face.yaw for face in read] == pytest.approx(YAWS[::-1])
    assert [face.subsets[0] for face in faces(tmp_path)] == BINS


def test_points_as_they_are_stored(tmp_path):
    made = make_aflw2000(tmp_path, YAWS)
    save(tmp_path / "lists", REANNOTATED, [points.T + 2 for points in made.values()])
    for face in faces(tmp_path, base=0):
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id] + 1)
    for face in faces(tmp_path, base=0, points="reannotated"):  # these count from 0 in any case
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id] + 2)
    assert BENCHMARK.config(BENCHMARK.parse_options(["base=0"])) == "base0"
    with pytest.raises(InputError, match="aflw2000_3d: base=2; it is 0 or 1"):
        list(faces(tmp_path, base=2))


@pytest.mark.parametrize("place", ["AFLW2000", ".", "lists"])
def test_bins_by_released_list_in_the_order_of_names(tmp_path, place):
    make_aflw2000(tmp_path, YAWS)
    save(tmp_path / place, POSES, YAWS[::-1])
    by_list = [face.subsets[0] for face in faces(tmp_path)]
    assert by_list == ["yaw_60_90", "yaw_60_90", "yaw_30_60", "yaw_30_60", "yaw_0_30"]
    assert [face.subsets[0] for face in faces(tmp_path, poses="annotation")] == BINS


def test_rows_of_the_lists_are_found_by_points(tmp_path):
    made = make_aflw2000(tmp_path, YAWS)
    new = [points.T + 2 for points in made.values()]
    order = [3, 0, 4, 1, 2]
    save(tmp_path / "lists", ORIGINAL, [models(made)[i] for i in order])
    save(tmp_path / "lists", POSES, [10.0 * i for i in order])
    save(tmp_path / "lists", REANNOTATED, [new[i] for i in order])
    (tmp_path / "AFLW2000/image00005.mat").unlink()  # the second: the list has more than the tree
    read = list(faces(tmp_path, points="reannotated"))
    assert [face.yaw for face in read] == [0, 20, 30, 40]
    for face in read:
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id] + 2)


def test_a_face_that_is_not_listed(tmp_path):
    made = make_aflw2000(tmp_path, YAWS)
    save(tmp_path / "lists", ORIGINAL, models(made)[1:])
    save(tmp_path / "lists", POSES, YAWS[1:])
    first, *rest = faces(tmp_path)
    assert isinstance(first, Bad) and "not among those of AFLW2000-3D.pts68.npy" in first.reason
    assert [face.yaw for face in rest] == pytest.approx(YAWS[1:])


def test_lists_that_cannot_be_used(tmp_path):
    make_aflw2000(tmp_path, YAWS)
    with pytest.raises(InputError, match="Reannotated.pts68.npy is missing"):
        list(faces(tmp_path, points="reannotated"))
    with pytest.raises(InputError, match="points=new; it is original or reannotated"):
        list(faces(tmp_path, points="new"))
    save(tmp_path / "lists", POSES, YAWS * 2)
    with pytest.raises(InputError, match="5 photos, but lists of 10; add AFLW2000-3D.pts68.npy"):
        list(faces(tmp_path))
    assert len(list(faces(tmp_path, poses="annotation"))) == 5
    path = tmp_path / "lists" / POSES
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(InputError, match="pose.npy: not the released list"):
        list(faces(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-20]), "cut short"),
        (lambda p: write_pair(p.with_suffix(""), 0, 0, pt3d_68=np.ones((3, 21))), "(3, 21)"),
        (lambda p: write_pair(p.with_suffix(""), 0, np.nan, pt3d_68=np.ones((3, 68))), "NaN"),
        (lambda p: write_pair(p.with_suffix(""), 0, 0), "no variable 'pt3d_68'"),
        (lambda p: p.with_suffix(".jpg").unlink(), "no photo"),
    ],
)
def test_bad_files_are_named(tmp_path, spoil, reason):
    make_aflw2000(tmp_path, YAWS)
    path = tmp_path / "AFLW2000/image00005.mat"
    spoil(path)
    (bad,) = (face for face in faces(tmp_path) if isinstance(face, Bad))
    assert (bad.id, bad.path) == ("image00005", path) and reason in bad.reason


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not AFLW2000-3D; it must hold"):
        list(faces(tmp_path))


def test_builds_and_reads_back(tmp_path):
    made = make_aflw2000(tmp_path / "a", YAWS)
    built = build(BENCHMARK, tmp_path / "a", tmp_path / "data", {"poses": "annotation"})
    assert built.found == {"test": 5, "yaw_0_30": 1, "yaw_30_60": 2, "yaw_60_90": 2}
    source = open_source("aflw2000_3d:posesannotation/yaw_60_90", IBUG68, tmp_path / "data")
    assert [sample["id"] for sample in source] == list(made)[3:]
    np.testing.assert_array_equal(source[1]["points"], made["image00014"])
