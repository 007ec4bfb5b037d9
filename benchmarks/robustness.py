r"""A campaign of damage and faults: that nothing goes wrong in silence.

examples:
  python -m benchmarks.robustness --out runs/robustness
  python -m benchmarks.robustness --classes photos annotations --count 50 --out runs/some
  python -m benchmarks.robustness --seed 3 --classes kills --number 17 --out runs/again

needs: a checkout, and a Unix system. All that is damaged is drawn and trained here, small; nothing
is fetched. Leaves in --out robustness.md, the table that is printed, and bad.jsonl: every trial
that ended badly, with what was seen, and the seed, class and number by which --number tries it
again (kills and races hang on time as well). Exit code 1 where there are any.

A trial ends right; in one clear line (exit code 2, and the line names the file); with a difference
that its format cannot tell (a flipped bit where there are no checksums, another digit); or badly:
an unclear line, a traceback, a hang, silently wrong, or with files left over that should not be
there. Without --count, the whole takes 1,000 mutations, 100 kills, and some of the other faults.
"""

import argparse
import functools
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import faults, grounds
from benchmarks.grounds import Ground
from benchmarks.judging import (
    BAD,
    RIGHT,
    TRACEBACK,
    UNCLEAR,
    VERDICTS,
    WRONG,
    Ended,
    Started,
    Verdict,
    Workers,
    aside,
    attempt,
    judged,
    worst,
)
from jaxalign.commands import new_parser, run
from jaxalign.errors import InputError, printable
from jaxalign.folders import readable_errors, whole
from jaxalign.records import json_text


MEMORY = 16 * 2**30  # bytes that a trial may ask the system for
WARM = (  # imported once, in the process that all others are forked from
    "jaxalign.training.train",
    "jaxalign.prediction.files",
    "jaxalign.datasets.prepare",
    "jaxalign.evaluation.evaluate",
    "jaxalign.export",
    *(f"jaxalign.commands.{name}" for name in ("train", "predict", "prepare", "evaluate")),
    "orbax.checkpoint",
    "scipy.io",
    "h5py",
)
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
Trial = Callable[[Ground, np.random.Generator, Path], Verdict]


def _main(name: str, arguments: Sequence[object]) -> int:
    """A command, as the user calls it."""
    _bounded()
    module = importlib.import_module(f"jaxalign.commands.{name}")
    return module.main([str(argument) for argument in arguments])


def _here(name, *arguments) -> Ended:
    return attempt(lambda: _main(name, arguments))


def _one(rng, values):
    return values[int(rng.integers(len(values)))]


# Photos.


def try_photo(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A damaged photo, decoded: refused, or the pixels are the sound ones."""
    from jaxalign import photos

    path, name, damage = _damaged_photo(ground, rng, place)
    sound, read = photos.read(ground.photos / name), []
    ended = attempt(lambda: run(lambda: read.append(photos.read(path))))
    difference = ""
    if ended.code == 0 and not np.array_equal(read[0], sound):
        difference = f"other pixels, {read[0].shape} in place of {sound.shape}"
    verdict = judged(ended, names=[path.name], difference=difference, seen=damage.seen)
    return replace(verdict, what=f"{name}: {damage.what}")


def try_prediction(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A damaged photo predicted beside a sound one, whose faces are those of it alone."""
    path, name, damage = _damaged_photo(ground, rng, place)
    good, boxes, out = place / "good.png", place / "boxes.csv", place / "found"
    shutil.copyfile(ground.photos / "plain.png", good)
    # None of the damaged one, which may have become small.
    boxes.write_text("photo,x0,y0,x1,y1\n" + _box(good.name))
    ended = _here("predict", path, good, "--ckpt", ground.file, "--out", out, "--boxes", boxes)
    difference = ""
    if ended.code == 0:
        records = json.loads((out / "faces.json").read_text())["photos"]
        wanted = json.loads((ground.folder / "predicted/faces.json").read_text())["photos"]
        faces = [record.get("faces") for record in records if record["photo"] == str(good)]
        if faces != [record["faces"] for record in wanted if record["photo"].endswith("plain.png")]:
            difference = "the sound photo beside it has other faces"
    verdict = judged(ended, difference=difference, left=aside(place))
    return replace(verdict, what=f"{name}: {damage.what}")


def _damaged_photo(ground, rng, place):
    """Its path, the sound one's name, and what was done."""
    name = _one(rng, grounds.photo_names())
    data, damage = faults.damaged_bytes((ground.photos / name).read_bytes(), rng)
    path = place / f"damaged {name}"
    path.write_bytes(data)
    # PNG's checksums cover everything that counts.
    return path, name, replace(damage, seen=damage.seen or name.endswith(".png"))


def _box(name):
    return f"{name},{','.join(map(str, grounds.BOX))}\n"


# Annotations.


def try_annotations(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A damaged file of a benchmark's tree, prepared: refused, or the faces are the sound ones."""
    name = _one(rng, list(grounds.TREES))
    root = grounds.copied(ground.tree(name), place / "tree")
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    photos = [path for path in files if path.suffix in (".jpg", ".png")]
    others = [path for path in files if path not in photos]
    target = _one(rng, photos if photos and rng.random() < 0.15 else others)
    damage = faults.damaged_file(target, rng, others)
    data, temporary = place / "data", place / "temporary"
    temporary.mkdir()
    with _temporary(temporary):
        ended = _here("prepare", *grounds.prepared_by(grounds.TREES[name], root, data))
    difference, left = "", [*aside(place), *map(str, temporary.iterdir())]
    if ended.code == 0:
        difference = _other_faces(grounds.faces_of(name, data), ground.prepared[name])
    elif data.exists():
        left += [str(path) for path in data.rglob("*") if path.is_file()]
    # A photo's damage is told by what its format tells, and a face may be lost with its line.
    seen = damage.seen and target not in photos
    names = [str(root)]
    return replace(
        judged(ended, names=names, difference=difference, seen=seen, left=left),
        what=f"{name}: {damage.what}",
    )


class _temporary:
    """The system's folder of temporary files, for a while."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        self.before, tempfile.tempdir = tempfile.tempdir, str(self.folder)

    def __exit__(self, *_):
        tempfile.tempdir = self.before


def _other_faces(found, sound):
    for face in sorted(found.keys() | sound.keys()):
        if face not in found:
            return f"{face} is lost"
        if face not in sound:
            return f"{face} is new"
        if not np.allclose(found[face], sound[face], atol=0.01, equal_nan=True):
            return f"{face} has other points"
    return ""


# Checkpoints.


def try_checkpoint(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A damaged checkpoint, loaded or trained on with: refused, or as if it were sound."""
    kind = _one(rng, ("file", "run", "run", "half", "half"))
    source = {"file": ground.file, "run": ground.run, "half": ground.half}[kind]
    ckpt = grounds.copied(source, place / source.name)
    if kind == "file":
        data, damage = faults.damaged_bytes(ckpt.read_bytes(), rng)
        ckpt.write_bytes(data)
    else:
        files = [path for path in sorted((ckpt / "checkpoints").rglob("*")) if path.is_file()]
        if kind == "half" and rng.random() < 0.2:
            files = [ckpt / "recipe.json", ckpt / "metrics.jsonl"]
        target = _one(rng, files)
        damage = faults.damaged_file(target, rng, files)
        damage = replace(damage, what=f"{target.parent.relative_to(ckpt)}/{damage.what}")
    found = {}
    if kind == "half":
        ended = _here("train", *ground.command("--workdir", ckpt, "--resume"))
        if ended.code == 0:
            found = grounds.arrays(ckpt)
    else:
        which = _one(rng, ("latest", "best"))
        sound = ground.trained if which == "latest" else grounds.arrays(ground.run, "best")
        ended = attempt(lambda: run(lambda: found.update(grounds.arrays(ckpt, which))))
    if kind == "half" or which == "latest":
        sound = ground.trained
    difference = grounds.unlike(found, sound) if ended.code == 0 else ""
    return replace(
        judged(ended, names=[str(ckpt)], difference=difference, left=aside(place)),
        what=f"{kind}: {damage.what}",
    )


# Recipes and command lines.


def try_setting(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A recipe with a field set otherwise, or misspelt, trained: refused, or its losses are
    numbers."""
    from jaxalign import history
    from jaxalign import recipe as recipes

    recipe = recipes.load(str(ground.recipe))
    name = _one(rng, [line.partition("=")[0].strip() for line in recipes.fields(recipe)])
    fit = rng.random() < 0.6
    value = _one(rng, faults.VALUES if fit else faults.UNFIT)
    misspelt = rng.random() < 0.1
    if misspelt:
        at = int(rng.integers(len(name)))
        name = name[:at] + name[at + 1 :]
    setting = f"{name}={value}"
    names = [name.rpartition(".")[2], value, printable(value)]
    if isinstance(_value(recipe, name), str):
        fit = True  # any text is one
    workdir = place / "run"
    ended = _here("train", *ground.command("--workdir", workdir, "--set", setting))
    difference = ""
    if ended.code == 0:
        losses = [row["loss"] for row in history.rows(workdir) if "loss" in row]
        if misspelt or not fit:
            difference = f"{setting[:100]} was taken"
        elif not losses or None in losses:
            difference = f"{len(losses)} losses, some of them no numbers"
    return replace(
        judged(ended, names=names, difference=difference, left=aside(place)),
        what=f"--set {setting[:200]}",
    )


def _value(recipe, name):
    from jaxalign import recipe as recipes

    try:
        return recipes.value_at(recipe, name)
    except (AttributeError, InputError):
        return None


def try_command_line(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A command line that works, but for one option: it works, or is refused in one line."""
    name = _one(rng, ("predict", "evaluate", "prepare", "export", "train"))
    photo = ground.photos / "plain.png"
    base = {
        "predict": [photo, "--ckpt", ground.file, "--out", "found"],
        "evaluate": ["--ckpt", ground.file, "--data", "ibug_300w/test", "--data-dir", ground.data,
                     "--report", "report"],
        "prepare": grounds.prepared_by(
            grounds.TREES["ibug_300w"], ground.tree("ibug_300w"), Path("data")
        ),
        "export": ["--ckpt", ground.run, "--out", "x.safetensors"],
        "train": ground.command("--workdir", "run", "--dry-run"),
    }[name]  # fmt: skip
    parser = importlib.import_module(f"jaxalign.commands.{name}").parser()
    skipped = {"--help", "--version", "--distributed"}
    options = [action.option_strings[-1] for action in parser._actions if action.option_strings]
    option = _one(rng, [option for option in options if option not in skipped])
    paths = ("", ".", "nowhere/x", "a" * 300, "a\nb", "-", "/dev/null", "/dev/full", "missing.json",
             "[x]", "*", "$HOME", ground.recipe, ground.photos, ground.file, photo)  # fmt: skip
    values = [v for v in (*faults.VALUES, *faults.UNFIT, *paths) if "\0" not in str(v)]
    value = _one(rng, values)
    more = [option, value] if rng.random() < 0.8 else [option[:-1] + "x", value]
    inside = place / "a/b/c"  # a path of the values leads up
    inside.mkdir(parents=True)
    before = os.getcwd()
    os.chdir(inside)
    try:
        ended = _here(name, *base, *more)
    finally:
        os.chdir(before)
    return replace(
        judged(ended, left=aside(place)),
        what=f"jaxalign {name} ... {' '.join(map(str, more))[:200]}",
    )


def try_recipe(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    return (try_setting if rng.random() < 0.5 else try_command_line)(ground, rng, place)


# Kills.


def try_kill(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A command killed at a random moment, and given again: as if it had not been."""
    kind = _one(rng, ("train", "train", "prepare", "predict"))
    moment = rng.uniform(0, 1.1) * json.loads((ground.folder / "times.json").read_text())[kind]
    number = _one(rng, (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
    tree = _one(rng, list(grounds.TREES))
    what = f"{kind}, {number.name} after {moment:.2f} s"
    if kind == "prepare" and rng.random() < 0.5:
        _older(kind, tree, ground, place)
        what += ", over an older one"
    command = _command(kind, tree, ground, place)
    first = Started(_main, *command)
    if not first.wait(moment):
        first.send(number)
    found = [judged(first.ended(), codes=(0, 128 + number))]
    found.append(_after(kind, tree, ground, place))
    again = [*command[1], "--skip-existing"] if kind == "predict" else command[1]
    ended = Started(_main, command[0], again).ended()
    difference = _unlike_sound(kind, tree, ground, place) if ended.code == 0 else ""
    locks = [str(path) for path in place.rglob("lock") if path.is_file()]
    found.append(judged(ended, difference=difference, left=[*aside(place), *locks]))
    if ended.code == 2 and not found[-1].bad:
        found.append(Verdict(WRONG, detail=f"refused to go on: {ended.err[-500:]}"))
    return replace(worst(found), what=what)


def _command(kind, tree, ground, place):
    """A command that works, with its arguments; what it makes lies in the trial's place."""
    if kind == "train":
        return kind, ground.command("--workdir", place / "run", "--resume")
    if kind == "prepare":
        command = grounds.prepared_by(grounds.TREES[tree], ground.tree(tree), place / "data")
        return kind, [*command, "--overwrite"]
    if kind == "predict":
        return kind, _prediction(ground, place / "found")
    return kind, ["--ckpt", ground.run, "--out", place / ground.file.name]


def _prediction(ground, out):
    """The arguments of predict for all photos of the ground."""
    return [*(ground.photos / name for name in grounds.photo_names()), "--ckpt", ground.file,
            "--out", out, "--boxes", ground.folder / "boxes.csv", "--batch", "2"]  # fmt: skip


def _older(kind, tree, ground, place):
    """What an earlier call of such a command left."""
    if kind == "prepare":
        grounds.copied(ground.folder / "prepared" / tree, place / "data")
    elif kind == "predict":
        grounds.copied(ground.folder / "predicted", place / "found")
    elif kind == "export":
        grounds.copied(ground.file, place / ground.file.name)


def _after(kind, tree, ground, place):
    """What a command left that was broken off: whole, as far as it is there."""
    from jaxalign import checkpoints

    found = {}

    def look():
        folder = place / "run" / checkpoints.FOLDER
        if kind == "train" and folder.is_dir() and checkpoints.steps(folder):
            grounds.arrays(place / "run")
        elif kind == "prepare" and list((place / "data").glob("*/*/*/dataset_info.json")):
            found.update(grounds.faces_of(tree, place / "data"))
        elif kind == "predict" and (place / "found/faces.json").exists():
            json.loads((place / "found/faces.json").read_text())
        elif kind == "export" and (place / ground.file.name).exists():
            grounds.arrays(place / ground.file.name)

    ended = attempt(lambda: run(look))
    if ended.code == 2:
        return Verdict(WRONG, detail=f"what it left is not whole: {ended.err[-500:]}")
    return judged(ended, difference=_other_faces(found, ground.prepared[tree]) if found else "")


def _unlike_sound(kind, tree, ground, place):
    """What a command that has ended made otherwise than the sound one, "" where nothing."""
    from jaxalign import history

    if kind == "export":
        found = grounds.arrays(place / ground.file.name)
        return grounds.unlike(found, grounds.arrays(ground.file))
    if kind == "prepare":
        return _other_faces(grounds.faces_of(tree, place / "data"), ground.prepared[tree])
    if kind == "predict":
        found, sound = (
            json.loads((folder / "faces.json").read_text())
            for folder in (place / "found", ground.folder / "predicted")
        )
        return "" if found == sound else "faces.json differs"
    timed = ("time", "images_per_second")
    found, sound = (
        [{k: v for k, v in row.items() if k not in timed} for row in history.rows(folder)]
        for folder in (place / "run", ground.run)
    )
    return grounds.unlike(grounds.arrays(place / "run"), ground.trained) or (
        "" if found == sound else "metrics.jsonl differs"
    )


# Full disk.


def _limited(size):
    """Files end at `size` bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _failing(function, count):
    """The `count`-th call of a function of os says that the disk is full."""
    before, left = getattr(os, function), [count]

    def fails(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device", str(arguments[0]))
        return before(*arguments, **options)

    setattr(os, function, fails)


def try_full_disk(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """A command whose files do not fit: one line, the older result is kept, and it can be given
    again."""
    kind, tree = _one(rng, ("train", "prepare", "predict", "export")), "ibug_300w"
    if rng.random() < 0.6:
        size = int(10 ** rng.uniform(0, 5))
        first, what = functools.partial(_limited, size), f"{kind}, files end at {size} bytes"
    else:
        function, count = _one(rng, ("replace", "rename", "mkdir")), int(rng.integers(1, 6))
        first = functools.partial(_failing, function, count)
        what = f"{kind}, call {count} of os.{function} fails"
    older = kind != "train" and rng.random() < 0.5
    if older:
        _older(kind, tree, ground, place)
        what += ", over an older result"
    command = _command(kind, tree, ground, place)
    ended = Started(_main, *command, first=first).ended()
    found = [judged(ended, left=aside(place)), _after(kind, tree, ground, place)]
    if older and ended.code == 2:
        found.append(_as_sound(kind, tree, ground, place, "the older result"))
    found.append(judged(Started(_main, *command).ended(), left=aside(place)))
    if found[-1].verdict == RIGHT:
        found.append(_as_sound(kind, tree, ground, place, "the next result"))
    return replace(worst(found), what=what)


def _as_sound(kind, tree, ground, place, which):
    difference = _unlike_sound(kind, tree, ground, place)
    return judged(Ended(0, "", ""), difference=difference and f"{which}: {difference}")


# Threads, and two processes.


@functools.cache
def _aligner(file):
    from jaxalign.prediction.aligner import load

    return load(file, detector="cascade")


def try_threads(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """Eight threads on one Aligner: the faces of one."""
    from jaxalign.datasets import synthetic_faces
    from jaxalign.photos import decode

    aligner = _aligner(ground.file)
    faces = rng.integers(1000, size=4)
    drawn = (synthetic_faces.face("test", int(n), 256, 0).photo for n in faces)
    images = [decode(photo) for photo in drawn if isinstance(photo, bytes)]
    alone = [_plain(aligner(image)) for image in images]
    order = [rng.permutation(len(images)) for _ in range(8)]
    found, errors = {}, []

    def work(thread):
        try:
            for n in order[thread]:
                found[thread, n] = _plain(aligner(images[n]))
        except Exception as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    what = f"drawn faces {', '.join(map(str, faces))}"
    if errors:
        return Verdict(TRACEBACK, what, errors[0])
    others = [key for key, those in found.items() if those != alone[key[1]]]
    difference = f"{len(others)} of {len(found)} calls differ" if others else ""
    return replace(judged(Ended(0, "", ""), difference=difference), what=what)


def _plain(faces):
    return [(face.points.tolist(), face.score, face.box.tolist()) for face in faces]


def try_race(ground: Ground, rng: np.random.Generator, place: Path) -> Verdict:
    """Two processes on one place: one goes on, the other says why not."""
    kind, tree = _one(rng, ("train", "train", "prepare", "predict")), _one(rng, list(grounds.TREES))
    moment = rng.uniform(0, 0.8) * json.loads((ground.folder / "times.json").read_text())[kind]
    command = _command(kind, tree, ground, place)
    first = Started(_main, *command)
    time.sleep(moment)
    second = Started(_main, *command)
    ends = [one.ended() for one in (first, second)]
    codes = sorted(end.code for end in ends if end.code is not None)
    found = [judged(end) for end in ends]
    if 0 in codes:
        found.append(_as_sound(kind, tree, ground, place, "the result"))
        found.append(judged(Ended(0, "", ""), left=aside(place)))
    else:
        found.append(Verdict(UNCLEAR, detail=f"neither went on: {ends[0].err[-500:]}"))
    return replace(worst(found), what=f"two of {kind}, {moment:.2f} s apart")


CLASSES: dict[str, tuple[Trial, int]] = {  # name -> how one is tried, and how often by default
    "photos": (try_photo, 400),
    "predictions": (try_prediction, 40),
    "annotations": (try_annotations, 360),
    "checkpoints": (try_checkpoint, 100),
    "recipes": (try_recipe, 100),
    "kills": (try_kill, 100),
    "full-disk": (try_full_disk, 40),
    "threads": (try_threads, 8),
    "races": (try_race, 20),
}


def one_trial(kind: str, number: int, *, folder: Path, seed: int) -> Verdict:
    """In a worker: the trial of that class and number, in a folder of its own."""
    _bounded()
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    random.seed(number)
    place = Path(tempfile.mkdtemp(prefix=f"{kind}-{number}-", dir=folder / "trials"))
    try:
        return CLASSES[kind][0](_ground(folder), rng, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@functools.cache
def _bounded():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


@functools.cache
def _ground(folder):
    return Ground(folder / "ground")


def build_ground(kind: str, number: int, *, folder: Path, seed: int) -> Verdict:
    """In a worker: what is damaged, and how long the commands take that are killed."""
    ground = grounds.build(folder / "ground")
    names = grounds.photo_names()
    boxes = "".join(_box(name) for name in names)
    (ground.folder / "boxes.csv").write_text(f"photo,x0,y0,x1,y1\n{boxes}")
    tree, times = grounds.TREES["ibug_300w"], {}
    for command, arguments in {
        "train": ground.command("--workdir", folder / "timed"),
        "prepare": grounds.prepared_by(tree, ground.tree("ibug_300w"), folder / "timed data"),
        "predict": _prediction(ground, ground.folder / "predicted"),
    }.items():
        started = time.monotonic()
        ended = Started(_main, command, arguments).ended()
        times[command] = time.monotonic() - started
        if ended.code:
            return Verdict(TRACEBACK, "the ground", ended.err)
    (ground.folder / "times.json").write_text(json_text(times))
    return Verdict(VERDICTS[0], f"the commands take {times}")


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: how the trials of each class ended."""
    lines = [f"| class | tried | {' | '.join(VERDICTS)} |", "|---|" + "---:|" * (1 + len(VERDICTS))]
    counts = Counter((one.kind, one.verdict) for one in verdicts)
    for kind in dict.fromkeys(one.kind for one in verdicts):
        numbers = [counts[kind, verdict] for verdict in VERDICTS]
        lines.append(f"| {kind} | {sum(numbers)} | {' | '.join(map(str, numbers))} |")
    totals = [sum(one.verdict == verdict for one in verdicts) for verdict in VERDICTS]
    lines.append(f"| all | {sum(totals)} | {' | '.join(map(str, totals))} |")
    return "\n".join(lines)


def campaign(
    classes: Sequence[str],
    seed: int,
    *,
    count: int | None = None,
    number: int | None = None,
    jobs: int = 2,
    limit: float = 120.0,
    show: Callable[[Verdict], object] = lambda verdict: None,
) -> list[Verdict]:
    """Tries `count` of each class (None: as CLASSES says), or the one of that `number`."""
    folder = Path(tempfile.mkdtemp(prefix="jaxalign-robustness-"))
    (folder / "trials").mkdir()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    given = {"folder": folder, "seed": seed}
    try:
        ground = Workers(functools.partial(build_ground, **given), 1, 600, WARM)
        (built,) = ground([("ground", 0)])
        if built.bad:
            raise InputError(f"{folder}: the sound things could not be made: {built.detail}")
        show(built)
        tasks = []
        for name in classes:
            numbers = range(count or CLASSES[name][1]) if number is None else [number]
            tasks += [(name, n) for n in numbers]
        found = []
        for verdict in Workers(functools.partial(one_trial, **given), jobs, limit, WARM)(tasks):
            found.append(verdict)
            show(verdict)
        return sorted(found, key=lambda one: (classes.index(one.kind), one.number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parser() -> argparse.ArgumentParser:
    found = new_parser("python -m benchmarks.robustness", __doc__)
    add = found.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the table and the list")
    add("--classes", nargs="+", choices=list(CLASSES), default=list(CLASSES), metavar="CLASS",
        help=f"what is tried: {', '.join(CLASSES)} (default: all)")  # fmt: skip
    add("--count", type=int, metavar="N", help="trials of each class (default: "
        f"{', '.join(f'{name} {count}' for name, (_, count) in CLASSES.items())})")  # fmt: skip
    add("--number", type=int, metavar="K", help="only the trial of this number")
    add("--seed", type=int, default=0, help="of all damage (default: %(default)s)")
    add("--jobs", type=int, default=2, help="trials at a time (default: %(default)s)")
    add("--limit", type=float, default=120.0, metavar="S",
        help="seconds after which a trial hangs (default: %(default)s)")  # fmt: skip
    return found


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _run(arguments))


def _run(arguments):
    least = {
        "--jobs": arguments.jobs,
        "--count": 1 if arguments.count is None else arguments.count,
        "--seed": arguments.seed + 1,
    }
    for name, value in least.items():
        if value < 1:
            raise InputError(f"{name}: too small")
    with readable_errors(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
    started, bad = time.monotonic(), []

    def show(verdict):
        if verdict.bad:
            bad.append(verdict)
            print(f"{verdict.kind} {verdict.number}: {verdict.verdict}: {verdict.what}", flush=True)

    found = campaign(
        list(dict.fromkeys(arguments.classes)), arguments.seed, count=arguments.count,
        number=arguments.number, jobs=arguments.jobs, limit=arguments.limit, show=show,
    )  # fmt: skip
    text = table(found)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{text}\n\n{minutes:.1f} minutes, seed {arguments.seed}")
    lines = [
        json_text({"seed": arguments.seed, "class": one.kind, "number": one.number,
                   "verdict": one.verdict, "what": one.what, "seen": one.detail})
        for one in found if one.verdict in BAD
    ]  # fmt: skip
    for name, content in {"robustness.md": [text], "bad.jsonl": lines}.items():
        path = arguments.out / name
        with readable_errors(path, ""), whole(path) as file:
            file.write("".join(f"{line}\n" for line in content).encode())
    print(f"written: {arguments.out}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
