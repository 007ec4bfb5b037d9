"""What decoding costs, heatmaps against vectors: the parts of Gaussian Vector's Table 9.

example:
  python -m benchmarks.decoding --batch 1,32 --repeats 200

needs: no data, its maps are random. Leaves nothing but the printed tables: medians and their 10 and
90 % quantiles in milliseconds. jaxalign.papers.decoding says what each way of decoding is.
"""

import argparse
import sys

import numpy as np

from jaxalign import parallel
from jaxalign.commands import add_device, new_parser, run
from jaxalign.errors import InputError
from jaxalign.papers.decoding import SIDE, timed, variants


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.decoding", __doc__)
    parser.add_argument("--batch", default="1,32", help="faces at once (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=200,
                        help="timed runs of each (default: %(default)s)")  # fmt: skip
    add_device(parser)
    parser.add_argument("--size", type=int, default=4 * SIDE,
                        help="side of the crops in pixels (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _counts(text, option):
    """ "1,32" -> [1, 32]. Errors: InputError."""
    parts = text.split(",")
    if not all(part.isdigit() and int(part) for part in parts):
        raise InputError(f"{option} {text}: whole numbers above 0")
    return [int(part) for part in parts]


def _print(arguments):
    _counts(str(arguments.repeats), "--repeats")
    print(f"device: {parallel.start(arguments.require)}")
    for batch in _counts(arguments.batch, "--batch"):
        print(f"\nbatch {batch}, ms{'':44}median     10 %     90 %")
        for key, ms in timed(variants(batch, arguments.size), arguments.repeats).items():
            part, method, way = key
            low, median, high = np.quantile(ms, (0.1, 0.5, 0.9))
            print(f"{part:20}{method:10}{way:20}{median:14.3f}{low:9.3f}{high:9.3f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
