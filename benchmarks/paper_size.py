"""A few training steps of every recipe of a paper, at its true size, on drawn faces.

examples:
  python -m benchmarks.paper_size --out sizes.md
  python -m benchmarks.paper_size --config propnet_wflw --set system.stacks=2

needs: nothing. Leaves a table of the time, the peak memory and the losses of each, every recipe in
a process of its own; compilation is in the time.

Two steps of each objective of each phase, in which the same two faces are seen, plain crops of
them. What is minimised should be lower in the second; not the hybrid's loss, whose distance, as
printed, is of points by argmax.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxalign import history
from jaxalign import recipe as recipes
from jaxalign.commands import new_parser, run
from jaxalign.datasets.synthetic_faces import face
from jaxalign.errors import InputError
from jaxalign.geometry import landmark_box
from jaxalign.papers.recipes import STATED
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.samples import Sample
from jaxalign.schemes import Scheme
from jaxalign.training.loop import Run, plan


FACES = 2  # the least that has batch statistics
PIXELWISE = ("direct", "dan", "distribution", "heatmap_regression", "pwc", "hybrid")
CASES: tuple[tuple[str, ...], ...] = (  # recipe and settings
    *((name,) for of in STATED.values() for name in of if not name.startswith("pixelwise")),
    *(("pixelwise_ibug_300w", f"system.method={method}") for method in PIXELWISE),
    ("pixelwise_ibug_300w", "system.method=hybrid", "system.discriminator=True"),
    ("fan_ibug_300w",),
    ("pipnet_ibug_300w",),
)


def sample(scheme: Scheme, index: int) -> Sample:
    """A drawn face as a sample."""
    drawn = face("train", index, 256, 0)
    points = drawn.points[scheme.name]
    return {
        "photo": drawn.photo,
        "points": points,
        "labelled": np.ones(len(points), bool),
        "visible": drawn.visible[scheme.name],
        "boxes": {"landmarks": landmark_box(points), **drawn.boxes},
        "norm_box": drawn.boxes["dataset"],
        "attributes": np.asarray(drawn.attributes, np.uint8),
        "subsets": (),
        "yaw": drawn.yaw,
        "id": drawn.id,
        "group": drawn.id,
    }


def shortened(recipe: Recipe) -> Recipe:
    """The recipe with two steps of each objective of each phase, all on the same faces."""
    faces = max(FACES, jax.device_count())
    epochs = [name for name in vars(recipe.system) if name.endswith("epochs")]
    settings = ["data.augmented=False", "training.log_steps=1", "training.patience=0"]
    settings += [f"training.batch={faces}", f"training.save_epochs={1e6}"]
    for number in range(1, 99):
        short = [f"system.{name}={number}" for name in epochs]
        found = recipes.override(recipe, [*settings, *short], idle_too=True)
        stretches, _ = plan(found, faces)
        if all(s.last - s.first >= 2 * len(s.phase.cycle) for s in stretches):
            return found
    raise InputError("the phases do not grow with the system's epochs")


def losses_of(recipe: Recipe, workdir: Path) -> dict[str, list[float]]:
    """Phase and objective -> the loss of each of its steps."""
    faces = [sample(recipe.system.points, index) for index in range(recipe.training.batch)]
    Run(recipe, faces, [], workdir).run()
    rows = {row["step"]: row for row in history.rows(workdir) if "loss" in row}
    found = {}
    for stretch in plan(recipe, len(faces))[0]:
        for step in range(stretch.first, stretch.last):
            cycle = stretch.phase.cycle
            objective = cycle[(step - stretch.first) % len(cycle)].name
            name = f"{stretch.phase.name} {objective}"
            found.setdefault(name, []).append(rows[step + 1]["loss"])
    return found


def measured(config: str, settings: Sequence[str]) -> dict:
    """{"seconds", "gib" (peak resident), "losses"} of a recipe, in this process."""
    start = time.perf_counter()
    recipe = shortened(recipes.override(recipes.load(config), settings))
    with tempfile.TemporaryDirectory() as folder:
        losses = losses_of(recipe, Path(folder))
    return {
        "seconds": time.perf_counter() - start,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "losses": losses,
    }


def row(case: Sequence[str], found: dict) -> str:
    """A line of the table."""
    name = " ".join([case[0], *(setting.removeprefix("system.") for setting in case[1:])])
    shown = ", ".join(
        f"{objective.split()[-1]} {values[0]:.4g} to {values[-1]:.4g}"
        for objective, values in found["losses"].items()
    )
    finite = all(math.isfinite(x) for values in found["losses"].values() for x in values)
    return (
        f"| `{name}` | {found['seconds']:.0f} s | {found['gib']:.1f} GiB | "
        f"{shown}{'' if finite else ' NOT FINITE'} |"
    )


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.paper_size", __doc__)
    parser.add_argument("--config", help="one recipe (default: all of the papers)")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of that recipe")  # fmt: skip
    parser.add_argument("--out", help="a Markdown file, which grows as the recipes are done "
                        "(default: none)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _measure(arguments))


def _measure(arguments):
    if arguments.config:
        print(json_text(measured(arguments.config, arguments.settings)))
        return
    if arguments.settings:
        raise InputError("--set is for one recipe: give --config")
    lines = ["| recipe | time | peak memory | losses |", "|---|---|---|---|"]
    for config, *settings in CASES:
        command = [sys.executable, "-m", "benchmarks.paper_size", "--config", config]
        command += ["--set", *settings] if settings else []
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"{config}: {done.stderr.strip().splitlines()[-1]}")
        lines.append(row((config, *settings), json.loads(done.stdout.splitlines()[-1])))
        print(lines[-1], flush=True)
        if arguments.out:
            Path(arguments.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
