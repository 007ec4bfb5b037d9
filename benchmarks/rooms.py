"""Draw the house: the rooms of the package, and which imports which.

example:
  python -m benchmarks.rooms --out docs/rooms.png

needs: a checkout, whose code is read and not run. Leaves the picture, and prints each import that
runs up. Rooms lie as in docs/architecture.md, the ground floor below. An arc on the left is imports
of a room below; one on the right, in red, of a room above, which the house does not allow.
"""

import argparse
import ast
import sys
import textwrap
from collections import Counter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyBboxPatch

from jaxalign.commands import new_parser, run
from jaxalign.errors import InputError


ROOMS = {  # from the ground up: room -> its modules; a folder holds what is in it
    "ground floor": (
        "errors",
        "places",
        "folders",
        "settings",
        "curves",
        "schemes",
        "scheme_files",
        "conversion",
        "geometry",
        "samples",
        "texts",
        "records",
        "tensors",
        "downloads",
        "buckets",
        "locks",
        "signals",
        "workers",
        "large_pages",
    ),
    "photos": ("photos",),
    "datasets": ("datasets",),
    "faces to batches": ("sources", "augment", "pipeline"),
    "labels and losses": ("targets", "decoding", "losses", "optimizers"),
    "layers": ("layers", "parallel"),
    "backbones": ("backbones",),
    "systems": ("systems",),
    "recipes": ("recipe", "configs", "costs", "weights", "checkpoints", "history"),
    "numbers and pictures": ("metrics", "protocols", "drawing"),
    "prediction": ("prediction", "detection", "smoothing"),
    "evaluation": ("evaluation",),
    "training": ("training", "torch_files"),
    "export": ("export", "to_onnx"),
    "papers": ("papers",),
    "commands": ("commands", "__init__", "__main__"),
}
DOWN, UP = {"color": "#7f8fa6", "alpha": 0.75}, {"color": "#c0261c"}
ROOM_OF = {module: room for room, modules in ROOMS.items() for module in modules}


def files(repo: Path) -> dict[str, Path]:
    """Module below `jaxalign` ("systems.tab", "__init__") -> its file, of the package's folders."""
    found = {}
    for root, inside in (("jaxalign", ""), ("datasets", "datasets."), ("configs", "configs.")):
        for path in sorted((repo / root).rglob("*.py")):
            parts = path.relative_to(repo / root).with_suffix("").parts
            if root != "jaxalign" or parts[0] not in ("datasets", "configs"):  # links to the others
                name = inside + ".".join(parts)
                found[name.removesuffix(".__init__") or "__init__"] = path
    if not found:
        raise InputError(f"{repo}: holds no jaxalign/; give a checkout")
    return found


def imports(repo: Path) -> Counter:
    """(importing module, imported module) -> how often, within the package."""
    modules, found = files(repo), Counter()
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for whole in named:
                package, _, inside = whole.partition(".")
                while inside and inside not in modules:
                    inside = inside.rpartition(".")[0]
                if package == "jaxalign" and inside and inside != name:
                    found[name, inside] += 1
    return found


def room_of(module: str) -> str:
    return ROOM_OF[module.partition(".")[0]]


def upward(repo: Path) -> list[tuple[str, str]]:
    """The imports that run up: (importing module, imported module)."""
    order = list(ROOMS)
    return [
        (a, b) for a, b in imports(repo)
        if order.index(room_of(a)) < order.index(room_of(b))
    ]  # fmt: skip


def draw(repo: Path) -> Figure:
    """The picture: a box for each room, with its modules and lines of code."""
    between, lines, members = Counter(), Counter(), {room: set() for room in ROOMS}
    for (a, b), count in imports(repo).items():
        between[room_of(a), room_of(b)] += count
    for name, path in files(repo).items():
        lines[room_of(name)] += len(path.read_text(encoding="utf-8").splitlines())
        members[room_of(name)].add(name.partition(".")[0])
    rooms = [room for room in ROOMS if members[room]]
    figure = Figure(figsize=(11, 0.62 * len(rooms) + 0.6), dpi=75, layout="constrained")
    axes = figure.subplots()
    for place, room in enumerate(rooms):
        box = FancyBboxPatch(
            (-2.6, place - 0.3), 5.2, 0.6, "round,pad=0.02", fc="#eef3fb", ec="#35537e"
        )
        axes.add_patch(box)
        axes.text(-2.5, place, room, va="center", weight="bold", fontsize=10)
        inside = ", ".join(sorted(m for m in members[room] if m != room and not m.startswith("__")))
        inside = "\n".join(textwrap.wrap(inside, 70))
        axes.text(-0.65, place, inside, va="center", fontsize=7, color="#333333")
        axes.text(2.55, place, f"{lines[room]:,}", va="center", ha="right", fontsize=8)
    for (a, b), count in between.items():
        if a != b:
            one, other = rooms.index(a), rooms.index(b)
            down, height = one > other, abs(one - other)
            side, start, look = (-2.65, 90, DOWN) if down else (2.65, 270, UP)
            centre, width = (side, (one + other) / 2), 0.5 + 0.35 * count**0.5
            arc = Arc(centre, 0.42 * height, height, theta1=start, theta2=start + 180)
            arc.set(linewidth=width, **look)
            axes.add_patch(arc)
    axes.set_xlim(-6.0, 3.6)
    axes.set_ylim(-0.6, len(rooms) - 0.4)
    axes.axis("off")
    against = sum(n for (a, b), n in between.items() if rooms.index(a) < rooms.index(b))
    axes.set_title(
        f"{sum(lines.values()):,} lines; {sum(between.values())} imports, {against} of them upward "
        "(red); the number in a room is its lines",
        fontsize=9,
    )
    return figure


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.rooms", __doc__)
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture")
    parser.add_argument("--repo", type=Path, default=Path("."), metavar="DIR",
                        help="the checkout (default: here)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _draw(arguments))


def _draw(arguments):
    for a, b in upward(arguments.repo):
        print(f"upward: {a} ({room_of(a)}) imports {b} ({room_of(b)})")
    try:
        draw(arguments.repo).savefig(arguments.out)
    except OSError as error:
        raise InputError(f"{arguments.out}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    sys.exit(main())
