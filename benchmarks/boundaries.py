"""Draw the true boundary maps over the faces of prepared data, to look at what is learned.

example:
  python -m benchmarks.boundaries --data ibug_300w/test --out boundaries.png

needs: a data set made by jaxalign prepare. Leaves the picture.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from jaxalign.commands import add_data_dir, new_parser, run
from jaxalign.datasets import BENCHMARKS
from jaxalign.drawing import CURVES_LEGEND, Tile, beside, contact_sheet
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, crop_face
from jaxalign.schemes import SCHEMES
from jaxalign.sources import benchmark_of, open_source
from jaxalign.targets import boundary_maps


SIZE, STRIDE = 256, 4  # of the crop, and of the maps on it


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.boundaries", __doc__)
    parser.add_argument("--data", required=True, help="NAME/SPLIT, made by jaxalign prepare")
    add_data_dir(parser)
    parser.add_argument("--scheme", choices=SCHEMES, metavar="NAME",
                        help=f"whose points: {', '.join(SCHEMES)} (default: the first of the data "
                        "set)")  # fmt: skip
    parser.add_argument("--faces", type=int, default=16,
                        help="how many, evenly spaced (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _draw(arguments))


def sheet(source: Sequence, faces: int) -> np.ndarray:
    """(H, W, 3) RGB: `faces` faces of the source, each plain and under its true boundary maps."""
    tiles, last = [], len(source) - 1
    for index in np.unique(np.linspace(0, last, faces).round().astype(int)):
        sample = source[int(index)]
        face = crop_face(sample, source.scheme, Crop(), SIZE)
        maps = boundary_maps(face["points"][None], source.scheme, STRIDE, SIZE)[0]
        tile = Tile(face["image"], sample["id"])
        tiles.extend(beside(tile, np.asarray(maps), curves=True))
    title = f"{source.name}, {source.scheme.name}"
    heading = f"{len(tiles) // 2} of {len(source)} faces"
    return contact_sheet([(heading, tiles)], source.scheme, title, legend=CURVES_LEGEND)


def _draw(arguments):
    if arguments.faces < 1:
        raise InputError(f"--faces {arguments.faces}: must be 1 or more")
    benchmark = BENCHMARKS.get(benchmark_of(arguments.data))
    name = arguments.scheme or (benchmark.schemes[0] if benchmark else next(iter(SCHEMES)))
    source = open_source(arguments.data, SCHEMES[name], arguments.data_dir)
    picture = Image.fromarray(sheet(source, arguments.faces))
    try:
        picture.save(arguments.out)
    except (OSError, ValueError) as error:
        raise InputError(f"{arguments.out}: cannot be written ({error}); name a .png") from None


if __name__ == "__main__":
    sys.exit(main())
