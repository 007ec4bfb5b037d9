"""What trials of `benchmarks.robustness` damage: small, sound, and made here from drawings."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, features

from benchmarks.judging import attempt
from jaxalign.records import json_text
from tests.helpers import trees, trees_3d, trees_106, trees_aflw, trees_cofw, trees_merl, trees_wflw


STEPS = 12  # of the sound training
HALF = 5  # those of the training that resuming goes on with
BOX = (12, 8, 52, 58)  # around the landmarks of every photo
RECIPE = f"""from tests.helpers.small import small_recipe


def config():
    return small_recipe(batch=2, epochs={STEPS / 3}, save_epochs=0.6)
"""


def _own(layout: str) -> Callable[[Path], None]:
    def make(root):
        root.mkdir(parents=True)
        faces = {f"photo {n}.jpg": trees.face68(n) for n in range(3)}
        for number, (name, points) in enumerate(faces.items()):
            Image.fromarray(trees.draw(points, number)).save(root / name)
        names = [f"{axis}{n}" for n in range(68) for axis in "xy"]
        rows = [[name, *points.ravel().tolist()] for name, points in faces.items()]
        if layout == "pts":
            for name, points in faces.items():
                trees.write_pts((root / name).with_suffix(".pts"), points)
        elif layout == "csv":
            lines = [",".join(map(str, row)) for row in [["file", *names], *rows]]
            (root / "faces.csv").write_text("\n".join(lines) + "\n")
        elif layout == "jsonl":
            lines = [json_text(dict(zip(["file", *names], row, strict=True))) for row in rows]
            (root / "faces.jsonl").write_text("\n".join(lines) + "\n")
        else:
            flagged = [np.hstack([p, np.full((68, 1), 2)]).ravel() for p in faces.values()]
            images = [{"id": n, "file_name": name} for n, name in enumerate(faces)]
            marks = [{"id": n, "image_id": n, "keypoints": points.tolist(), "bbox": [4, 6, 50, 50]}
                     for n, points in enumerate(flagged)]  # fmt: skip
            found = {"images": images, "annotations": marks}
            (root / "faces.json").write_text(json_text(found))

    return make


@dataclass(frozen=True)
class Tree:
    """A small download of a benchmark: who makes it in a folder, and prepare's settings for it."""

    benchmark: str
    make: Callable[[Path], object]
    settings: tuple[str, ...] = ()


OWN = ("scheme=ibug68",)
TREES = {
    "ibug_300w": Tree("ibug_300w", lambda root: trees.make_300w(root, 1)),
    "wflw": Tree("wflw", trees_wflw.make_wflw),
    "cofw": Tree("cofw", trees_cofw.make_cofw),
    "cofw68": Tree("cofw68", trees_cofw.make_cofw68),
    "aflw": Tree("aflw", trees_aflw.make_aflw),
    "w300_lp": Tree("w300_lp", trees_3d.make_300w_lp),
    "aflw2000_3d": Tree(
        "aflw2000_3d", lambda root: trees_3d.make_aflw2000(root, (0.5, -30.5, 59.5))
    ),
    "merl_rav": Tree("merl_rav", trees_merl.make_merl_rav),
    "jd_landmark": Tree("jd_landmark", trees_106.make_jd),
    "lapa": Tree("lapa", trees_106.make_lapa),
    **{
        layout: Tree("image_folder", _own(layout), OWN)
        for layout in ("pts", "csv", "jsonl", "coco")
    },
}
PHOTOS: dict[str, tuple[str, dict]] = {  # name -> Pillow's format and its options
    "baseline.jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"quality": 90, "progressive": True}),
    "plain.png": ("PNG", {}),
    "strips.tif": ("TIFF", {}),
    "deflated.tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "lossy.webp": ("WEBP", {"quality": 90}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "plain.bmp": ("BMP", {}),
    "still.gif": ("GIF", {}),
    "plain.ppm": ("PPM", {}),
    "plain.jp2": ("JPEG2000", {}),
    "lossy.avif": ("AVIF", {"quality": 90}),
}


def photo_names() -> list[str]:
    """Of PHOTOS, those that this Pillow writes."""
    lacking = {"AVIF": not features.check("avif"), "JPEG2000": not features.check("jpg_2000")}
    return [name for name, (kind, _) in PHOTOS.items() if not lacking.get(kind)]


def faces_of(name: str, data_dir: Path) -> dict[str, np.ndarray]:
    """ "SPLIT/ID" -> the stored points (K, 2), NaN where not labelled, of a prepared Tree."""
    from jaxalign.datasets import BENCHMARKS, builder

    tree = TREES[name]
    benchmark = BENCHMARKS[tree.benchmark]
    options = benchmark.parse_options(list(tree.settings))
    config, found = benchmark.config(options), {}
    for split, those in builder.open_splits(benchmark.under(options), config, data_dir).items():
        for record in those.records:
            for scheme, points in record["points"].items():
                places = np.where(record["labelled"][scheme][:, None], points, np.nan)
                found[f"{split}/{record['id'].decode()}/{scheme}"] = places
    return found


@dataclass(frozen=True)
class Ground:
    """The folder of sound things; trials read it and change copies of them."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.py"

    @property
    def data(self) -> Path:
        """Prepared ibug_300w."""
        return self.folder / "data"

    @property
    def run(self) -> Path:
        """A finished training of the recipe."""
        return self.folder / "run"

    @property
    def half(self) -> Path:
        """The same, stopped after HALF steps."""
        return self.folder / "half"

    @property
    def file(self) -> Path:
        """The finished training as one file."""
        return self.folder / "weights.safetensors"

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    def tree(self, name: str) -> Path:
        return self.folder / "trees" / name

    @cached_property
    def trained(self) -> dict[str, np.ndarray]:
        return arrays(self.run)

    @cached_property
    def prepared(self) -> dict[str, dict[str, np.ndarray]]:
        """Tree -> its faces, as faces_of."""
        return {name: faces_of(name, self.folder / "prepared" / name) for name in TREES}

    def command(self, *more) -> list[str]:
        """The arguments of the sound training, but for its work directory."""
        return ["--config", str(self.recipe), "--data-dir", str(self.data), *map(str, more)]


def arrays(ckpt: Path, which: str = "latest") -> dict[str, np.ndarray]:
    """A checkpoint's arrays by name. Errors: those of checkpoints.load."""
    from jaxalign import checkpoints

    _, variables, _ = checkpoints.load(ckpt, which)
    return checkpoints.named(variables)


def unlike(found: dict[str, np.ndarray], sound: dict[str, np.ndarray]) -> str:
    """What differs between arrays by name, "" where nothing."""
    if found.keys() != sound.keys():
        return f"other names: {sorted(found.keys() ^ sound.keys())[:3]}"
    others = [name for name in sound if not np.array_equal(found[name], sound[name])]
    return f"{len(others)} arrays differ, such as {others[0]}" if others else ""


def build(folder: Path, trained: bool = True) -> Ground:
    """Makes the ground; with a training only where that is asked for."""
    from jaxalign.commands import export, prepare

    ground = Ground(folder)
    ground.photos.mkdir(parents=True)
    image = Image.fromarray(trees.draw(trees.face68(0), 0)[..., ::-1].copy())
    for name in photo_names():
        kind, options = PHOTOS[name]
        image.save(ground.photos / name, kind, **options)
    for name, tree in TREES.items():
        tree.make(ground.tree(name))
        where = folder / "prepared" / name
        _succeed(prepare, prepared_by(tree, ground.tree(name), where))
    ground.recipe.write_text(RECIPE)
    trees.make_300w(folder / "faces")
    _succeed(
        prepare, ["ibug_300w", "--from", str(folder / "faces"), "--data-dir", str(ground.data)]
    )
    if trained:
        attempt(lambda: train(ground, ground.run))
        attempt(lambda: train(ground, ground.half, stop=HALF))
        _succeed(export, ["--ckpt", str(ground.run), "--out", str(ground.file)])
    return ground


def prepared_by(tree: Tree, root: Path, data_dir: Path) -> list[str]:
    """The arguments of prepare."""
    given = ["--set", *tree.settings] if tree.settings else []
    return [tree.benchmark, "--from", str(root), "--data-dir", str(data_dir), *given]


def _succeed(command, arguments):
    ended = attempt(lambda: command.main(arguments))
    if ended.code:
        raise RuntimeError(f"{arguments}: {ended.err}")


def train(ground: Ground, workdir: Path, stop: int = 0) -> None:
    """The sound training, stopped as by a signal after so many steps."""
    from jaxalign import recipe as recipes
    from jaxalign.training.loop import Run
    from jaxalign.training.train import benchmark_of, faces

    recipe = recipes.load(str(ground.recipe))
    those, val = faces(recipe, ground.data)

    def on_step(run):
        if run.step == stop:
            run.stop_signal = 15

    run = Run(
        recipe, those, val, workdir, benchmark=benchmark_of(recipe.data.train), on_step=on_step
    )
    try:
        run.run()
    except SystemExit:
        if not stop:
            raise


def copied(path: Path, to: Path) -> Path:
    """A copy that a trial may change."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, to, symlinks=True)
    else:
        shutil.copyfile(path, to)
    return to
