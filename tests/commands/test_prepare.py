"""`jaxalign prepare`: its table, its complaints, and that nothing half-written stays."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxalign.datasets
from jaxalign.commands import train
from jaxalign.commands.prepare import main
from jaxalign.datasets import BENCHMARKS, builder
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.errors import InputError
from jaxalign.locks import Lock
from jaxalign.schemes import IBUG68, WFLW98
from jaxalign.sources import open_source
from tests.helpers import ROOT
from tests.helpers.commands import held_by
from tests.helpers.trees import draw, face68, make_300w


def prepare(tmp_path, *arguments):
    places = ["--from", str(tmp_path / "300w"), "--data-dir", str(tmp_path / "data")]
    return main(["ibug_300w", *places, *arguments])


def left(tmp_path):
    """Every file of the data directory."""
    return [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_table_and_next_step(tmp_path, capsys):
    make_300w(tmp_path / "300w", 2)
    assert prepare(tmp_path) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "3148", "6", "3142", "missing"] in rows
    assert ["lfpw_test", "224", "2", "222", "missing"] in rows
    assert rows[-1][-1] == "data.train=ibug_300w/train"
    source = open_source("ibug_300w/test", IBUG68, tmp_path / "data")
    assert len(source) == 6


def test_the_next_step_can_be_pasted(tmp_path, capsys):
    """Where the folder's name has blanks, quotes and what a shell would replace."""
    make_300w(tmp_path / "300w", 1)
    place = tmp_path / "my $HOME's data [1]"
    assert main(["ibug_300w", "--from", str(tmp_path / "300w"), "--data-dir", str(place)]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    words = shlex.split(line)
    assert words[:2] == ["jaxalign", "train"]
    assert train.parser().parse_args(words[2:]).data_dir == place
    with pytest.raises(InputError) as error:
        open_source("wflw/test", WFLW98, place)
    words = shlex.split(str(error.value).partition("run: ")[2])
    assert words[words.index("--data-dir") + 1] == str(place)


def test_partial_tree_builds(tmp_path, capsys):
    make_300w(tmp_path / "300w", 1)
    for folder in ("helen", "ibug", "afw", "lfpw/trainset"):
        (tmp_path / "300w" / folder).rename(tmp_path / folder.replace("/", "_"))
    assert prepare(tmp_path) == 0
    out = capsys.readouterr().out
    assert ["train", "3148", "0", "3148", "missing"] in [line.split() for line in out.splitlines()]
    assert out.splitlines()[-1].startswith("next: jaxalign evaluate")
    assert len(open_source("ibug_300w/common", IBUG68, tmp_path / "data")) == 1
    with pytest.raises(InputError, match="nothing called 'train' was prepared"):
        open_source("ibug_300w/train", IBUG68, tmp_path / "data")


def spoil(root):
    """Damages three faces of the tree; returns what must be said of them."""
    photo = root / "afw/134212_1.jpg"
    photo.write_bytes(photo.read_bytes()[:-50])
    (root / "lfpw/testset/image_0001.png").write_bytes(b"")
    points = root / "ibug/image_092 _01.pts"
    points.write_text(points.read_text().replace("68", "66"))
    return [
        f"bad: {photo}: truncated",
        f"bad: {root / 'lfpw/testset/image_0001.png'}: empty",
        f"bad: {points}: 68 points under a header that says 66",
    ]


def test_bad_faces_are_all_listed_and_nothing_is_left(tmp_path, capsys):
    make_300w(tmp_path / "300w", 2)
    said = spoil(tmp_path / "300w")
    assert prepare(tmp_path) == 2
    lines = capsys.readouterr().err.splitlines()
    listed = [line for line in lines if line.startswith("bad: ")]
    assert len(listed) == 3
    for line, start in zip(listed, said, strict=True):
        assert line.startswith(start)
    assert (
        lines[-1].startswith(f"error: 3 bad faces in {tmp_path / '300w'} (first: ")
        and "--skip-bad" in lines[-1]
    )
    assert left(tmp_path) == []


def test_skip_bad_leaves_them_out_and_still_lists_them(tmp_path, capsys):
    made = make_300w(tmp_path / "300w", 2)
    spoil(tmp_path / "300w")
    assert prepare(tmp_path, "--skip-bad") == 0
    assert capsys.readouterr().err.count("bad: ") == 3
    ids = [
        sample["id"]
        for split in ("train", "test")
        for sample in open_source(f"ibug_300w/{split}", IBUG68, tmp_path / "data")
    ]
    gone = {"afw/134212_1", "lfpw/testset/image_0001", "ibug/image_092_01"}
    assert ids == [name for name in made if name not in gone]


def test_all_bad_builds_nothing(tmp_path, capsys):
    make_300w(tmp_path / "300w", 1)
    for path in (tmp_path / "300w").rglob("*.pts"):
        path.write_text("")
    assert prepare(tmp_path, "--skip-bad") == 2
    assert "no usable face" in capsys.readouterr().err
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wflv"], "no benchmark 'wflv'; there are: ibug_300w"),
        (["ibug_300w"], "--from DIR is missing"),
        (["ibug_300w", "--from", "nowhere"], "nowhere: no such folder"),
        (["ibug_300w", "--from", "."], "not the 300W tree"),
        (["ibug_300w", "--from", ".", "--set", "size=3"], "no option 'size'"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--data-dir", str(tmp_path / "data")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert left(tmp_path) == []


def test_overwrite_is_asked_for_and_a_failed_one_keeps_the_old(tmp_path, capsys):
    make_300w(tmp_path / "300w", 2)
    assert prepare(tmp_path) == 0
    assert prepare(tmp_path) == 2
    assert "already prepared; --overwrite" in capsys.readouterr().err
    spoil(tmp_path / "300w")
    assert prepare(tmp_path, "--overwrite") == 2
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == 6
    assert prepare(tmp_path, "--overwrite", "--skip-bad") == 0
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == 5
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ibug_300w"]


KILLED = """
import os, signal, sys
from jaxalign.datasets import BENCHMARKS, builder
from pathlib import Path
write, written = builder._SplitWriter.write, []
def write_until_killed(self, face):
    write(self, face)
    written.append(face.id)
    if len(written) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
builder._SplitWriter.write = write_until_killed
builder.build(BENCHMARKS["ibug_300w"], Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_build_is_not_taken_for_a_finished_one(tmp_path):
    make_300w(tmp_path / "300w", 2)
    places = [str(tmp_path / "300w"), str(tmp_path / "data")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED, *places], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert left(tmp_path) != []
    with pytest.raises(InputError, match="not prepared"):
        open_source("ibug_300w/train", IBUG68, tmp_path / "data")
    assert prepare(tmp_path) == 0
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == 6
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ibug_300w"]


@pytest.mark.parametrize("size", [0, 60, 3000])
def test_a_full_disk_is_one_line_and_the_older_set_stays(tmp_path, size):
    """Files end at so many bytes, in a process of its own: a limit cannot be lifted again."""
    make_300w(tmp_path / "300w", 1)
    assert prepare(tmp_path) == 0
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); "
        "from jaxalign.commands.prepare import main; sys.exit(main(sys.argv[1:]))"
    )
    places = ["--from", str(tmp_path / "300w"), "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-c", code, "ibug_300w", *places, "--overwrite"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert str(tmp_path / "data") in line and "ile too large" in line and "--data-dir" in line
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == 3
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ibug_300w"]


@pytest.mark.parametrize("code", [0, 2])
def test_nothing_is_left_in_the_systems_temporary_folder(tmp_path, monkeypatch, code):
    make_300w(tmp_path / "300w", 1)
    if code:
        next((tmp_path / "300w").rglob("*.pts")).write_text("")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert prepare(tmp_path) == code
    assert list(temporary.iterdir()) == []


def test_one_process_at_a_time_prepares(tmp_path, capsys):
    make_300w(tmp_path / "300w", 1)
    lock = Lock(tmp_path / "data" / ".incomplete-ibug_300w-default", "")
    assert prepare(tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"is in use by process {os.getpid()} on host" in line and "--data-dir" in line
    assert left(tmp_path) == [lock.path]
    lock.release()
    assert prepare(tmp_path) == 0


def test_a_second_process_is_refused_and_harms_nothing(tmp_path, capsys):
    make_300w(tmp_path / "300w")
    places = ["--from", tmp_path / "300w", "--data-dir", tmp_path / "data"]
    first = subprocess.Popen(
        [sys.executable, "-m", "jaxalign", "prepare", "ibug_300w", *places], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    held_by(first, tmp_path / "data/.incomplete-ibug_300w-default/lock")
    assert prepare(tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"is in use by process {first.pid} on host" in line
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=300)
    assert first.returncode == 0, errors
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == 6
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ibug_300w"]


@pytest.mark.parametrize("new", [True, False])
def test_killed_while_the_new_takes_the_olds_place(tmp_path, monkeypatch, new):
    """The old one comes back with the next call, whatever becomes of that."""
    make_300w(tmp_path / "300w", 2)
    assert prepare(tmp_path) == 0
    folder = builder.stored(BENCHMARKS["ibug_300w"], "default", tmp_path / "data")
    aside = tmp_path / "data" / ".incomplete-ibug_300w-default"
    aside.mkdir()
    folder.rename(aside / "replaced")
    (tmp_path / "300w/afw").rename(tmp_path / "afw")
    if new:
        assert prepare(tmp_path, "--overwrite") == 0
    else:
        monkeypatch.setattr("jaxalign.datasets.builder.open_splits", _interrupted)
        assert prepare(tmp_path, "--overwrite") == 130
        monkeypatch.undo()
    assert len(open_source("ibug_300w/train", IBUG68, tmp_path / "data")) == (4 if new else 6)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ibug_300w"]


def _interrupted(*_, **__):
    raise KeyboardInterrupt


def test_interrupt_ends_without_traceback(tmp_path, capsys, monkeypatch):
    make_300w(tmp_path / "300w", 1)
    monkeypatch.setattr("jaxalign.datasets.builder.check_face", _interrupted)
    assert prepare(tmp_path) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert left(tmp_path) == []


def drawn(train, test, side):
    """A benchmark made by the program, as a reader."""
    import cv2

    for number in range(train + test):
        points = face68(number)
        photo = cv2.resize(draw(points, number), (side, side))
        yield Face(
            split="train" if number < train else "test",
            id=f"{number:03}",
            photo=cv2.imencode(".png", photo)[1].tobytes(),
            points={"ibug68": points},
            visible={"ibug68": np.arange(68) != number},
            attributes=(1, 0, 0, 0, 0, 1),
            subsets=("pose", "odd") if number % 2 else ("pose",),
            norm_box=np.array([1, 2, 3, 4]),
            yaw=-30.5,
        )


DRAWN = Benchmark(
    name="drawn",
    schemes=("ibug68",),
    faces=drawn,
    counts={"train": 4, "test": 2},
    instructions="",
    options={"train": 4, "test": 2, "side": 64},
    needs_root=False,
)


def test_made_by_the_program_with_options(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(jaxalign.datasets.BENCHMARKS, "drawn", DRAWN)
    place = ["--data-dir", str(tmp_path)]
    assert main(["drawn", *place]) == 0
    assert main(["drawn", *place, "--set", "train=3", "side=32", "test=2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "4", "4"] in rows and ["train", "3", "3"] in rows
    assert rows[-1][-1] == "data.train=drawn:side32-train3/train"
    assert len(open_source("drawn/train", IBUG68, tmp_path)) == 4
    small = open_source("drawn:side32-train3/train", IBUG68, tmp_path)
    assert len(small) == 3
    sample = small[2]
    assert sample["visible"].sum() == 67 and not sample["visible"][2]
    assert sample["attributes"].tolist() == [1, 0, 0, 0, 0, 1] and sample["yaw"] == -30.5
    assert sample["norm_box"].tolist() == [1, 2, 3, 4] and sample["group"] == "002"
    names = [face["id"] for face in open_source("drawn/pose", IBUG68, tmp_path)]
    assert names == ["004", "005"]  # test's, though train has the subset as well
    assert ["pose", "-", "2"] in rows and ["odd", "-", "1"] in rows
    with pytest.raises(InputError, match=r"prepared there: default, side32-train3\)"):
        open_source("drawn:train9/train", IBUG68, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "colour=1"], "no option 'colour'; its options: train, test, side"),
        (["--set", "train=many"], "'train=many': expected train=VALUE (int)"),
        (["--set", "train"], "'train': expected train=VALUE"),
        (["--from", "."], "made by the program; leave out --from"),
    ],
)
def test_wrong_options(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setitem(jaxalign.datasets.BENCHMARKS, "drawn", DRAWN)
    assert main(["drawn", "--data-dir", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_reader_failing_midway_leaves_nothing(tmp_path):
    def faces():
        yield from drawn(2, 0, 64)
        raise InputError("the archive ends here")

    benchmark = Benchmark(
        name="broken",
        schemes=("ibug68",),
        faces=faces,
        counts={},
        instructions="",
        needs_root=False,
    )
    with pytest.raises(InputError, match="the archive ends here"):
        build(benchmark, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_from_the_reader_names_the_face(tmp_path):
    def faces():
        yield Bad(id="x/1", path=Path("x/1.pts"), reason="is odd")

    benchmark = Benchmark(
        name="odd", schemes=("ibug68",), faces=faces, counts={}, instructions="", needs_root=False
    )
    with pytest.raises(InputError, match=r"1 bad faces \(first: x/1.pts: is odd\)"):
        build(benchmark, None, tmp_path)


def test_help_names_tfds_own_command_and_what_it_needs(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "tfds build NAME --imports jaxalign.datasets.tfds_builders" in told
    assert "needs TensorFlow and Apache Beam" in told
