"""The reader of MERL-RAV: hidden points, points without a place, and how such faces are scored."""

import json

import numpy as np
import pytest

from jaxalign.datasets.builder import build
from jaxalign.datasets.doctor import NOTE, WARN, examine
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.datasets.merl_rav import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.evaluation.summary import summarise
from jaxalign.evaluation.truth import truth_of
from jaxalign.protocols import protocol_for
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.training.loop import Run
from tests.helpers.small import small_recipe
from tests.helpers.trees import face68
from tests.helpers.trees_merl import make_merl_rav


@pytest.mark.parametrize("place", [".", "merl"])
@pytest.mark.parametrize("organized", [False, True])
def test_signs_tell_hidden_points_and_those_without_a_place(tmp_path, organized, place):
    made = make_merl_rav(tmp_path / place, organized)
    read = list(faces(tmp_path))
    assert [face.id for face in read] == list(made)
    for face in read:
        stored = made[face.id]
        points, visible = face.points["ibug68"], face.visible["ibug68"]
        labelled = face.labelled["ibug68"]
        np.testing.assert_array_equal(points[labelled], abs(stored[labelled]))
        assert np.isnan(points[~labelled]).all()
        profile = face.id.startswith("right/")
        gone = [*range(8), *range(36, 42)] if profile else []
        assert np.flatnonzero(~labelled).tolist() == gone
        assert np.flatnonzero(~visible).tolist() == sorted([*gone, *range(17, 21)])
        assert points.dtype == np.float32 and check_face(face) is None


def test_splits_subsets_and_groups(tmp_path):
    make_merl_rav(tmp_path)
    assert [(f.id, f.split, f.subsets, f.group) for f in faces(tmp_path)] == [
        ("frontal/trainset/image00019", "train", (), "image00019"),
        ("right/trainset/image00070_2", "train", (), "image00070"),
        ("frontal/testset/image00070_1", "test", ("frontal",), "image00070"),
        ("lefthalf/testset/image00442", "test", ("half_profile",), "image00442"),
        ("right/testset/image00120", "test", ("profile",), "image00120"),
    ]
    counts = BENCHMARK.counts
    assert (counts["train"], counts["test"]) == (15449, 3865)
    assert counts["frontal"] + counts["half_profile"] + counts["profile"] == counts["test"]


def test_builds_reads_back_and_is_scored(tmp_path):
    make_merl_rav(tmp_path / "merl")
    built = build(BENCHMARK, tmp_path / "merl", tmp_path / "data")
    assert built.found == {"train": 2, "test": 3, "frontal": 1, "half_profile": 1, "profile": 1}
    source = open_source("merl_rav/test", IBUG68, tmp_path / "data")
    profile = source[2]
    assert profile["labelled"].sum() == 68 - 14 and profile["labelled"].dtype == bool
    assert not (profile["visible"] & ~profile["labelled"]).any()
    assert (np.isnan(profile["points"]).all(1) == ~profile["labelled"]).all()
    seen = profile["points"][profile["labelled"]]
    np.testing.assert_array_equal(profile["boxes"]["landmarks"], [*seen.min(0), *seen.max(0)])

    truth = truth_of(source, "merl_rav/test", IBUG68)
    whole = np.stack([face68(n) for n in (1, 2, 4)])  # as trees_merl numbers them
    predicted = whole + (0.75, 1.0)  # 1.25 pixels from every point
    predicted[2, :8] += 1000  # of the profile these have no place
    summary = summarise(truth.with_predictions(predicted), protocol_for("merl_rav", IBUG68))
    rows = {row["subset"]: row for row in summary["rows"]}
    assert list(rows) == ["frontal", "half_profile", "profile", "all"]
    box = np.sqrt(np.prod(np.ptp(seen, axis=0)))
    assert summary["headline"] == "box"
    assert rows["profile"]["box"]["nme"] == pytest.approx(1.25 / box, abs=2e-6)
    assert rows["profile"]["box_luvli"]["nme"] == pytest.approx(1.25 / box * 54 / 68, abs=2e-6)
    assert rows["frontal"]["box"] == rows["frontal"]["box_luvli"]
    corners = np.linalg.norm(whole[0, 36] - whole[0, 45])
    assert rows["frontal"]["inter_ocular"]["nme"] == pytest.approx(1.25 / corners, abs=2e-6)
    assert "inter_ocular" not in rows["profile"] and rows["all"]["measured"]["inter_ocular"] == 2
    assert any(note.startswith("inter_ocular is of 2 of 3 faces") for note in summary["notes"])


def test_the_doctor_tells_of_points_without_a_place_and_of_shared_photos(tmp_path):
    make_merl_rav(tmp_path)
    lines = {line.check: line for line in examine(BENCHMARK, tmp_path).lines}
    line = lines["unlabelled: ibug68"]
    assert line.verdict == NOTE
    assert line.finding == f"{2 * 14 / (5 * 68):.1%} of the points, in 2 of 5 faces"
    shared = lines["train/test: groups"]
    assert (shared.verdict, shared.details) == (WARN, ["image00070"])


def test_faults_are_named(tmp_path):
    make_merl_rav(tmp_path)
    (tmp_path / "aflw/flickr/0/image00019.jpg").unlink()
    mixed = tmp_path / "merl_rav_labels/right/trainset/labels/image00070_2.pts"
    mixed.write_text(mixed.read_text().replace("\n-1 -1\n", "\n-1 1\n", 1))
    short = tmp_path / "merl_rav_labels/frontal/testset/labels/image00070_1.pts"
    short.write_text(short.read_text()[:-1])
    bad = [face for face in faces(tmp_path) if isinstance(face, Bad)]
    assert [(face.path.stem, face.reason) for face in bad] == [
        ("image00019", "AFLW's photo image00019.jpg is not in aflw/flickr/0, 2 or 3"),
        ("image00070_2", "1 of its points have one negative coordinate and one that is not"),
        ("image00070_1", "truncated, its closing brace is missing"),
    ]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not MERL-RAV; it must hold merl_rav_labels/frontal"):
        list(faces(tmp_path))


@pytest.mark.heavy
def test_a_model_trains_on_it_and_is_validated_by_the_box(tmp_path):
    """Points without a place bring no NaN into losses, boxes or validation."""
    make_merl_rav(tmp_path / "merl")
    build(BENCHMARK, tmp_path / "merl", tmp_path / "data")
    train, test = (
        open_source(f"merl_rav/{split}", IBUG68, tmp_path / "data") for split in ("train", "test")
    )
    recipe = small_recipe(epochs=2)
    run = Run(recipe, train, test, tmp_path / "w", benchmark="merl_rav")
    run.run()
    lines = (tmp_path / "w/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert run.normaliser == "box" and any("val_nme" in row for row in rows)
    assert any("loss" in row for row in rows)
