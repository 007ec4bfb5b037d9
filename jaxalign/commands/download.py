"""Tell where a benchmark's files are offered; fetch a face detector.

examples:
  jaxalign download
  jaxalign download ibug_300w
  jaxalign download yunet --out models

needs: for yunet, access to github.com. Files whose owners ask for a licence are not fetched:
benchmarks are downloaded by hand, from their owners, as the printed lines say.
leaves: for yunet its ONNX file in the --out folder, its size and SHA-256 checked, for jaxalign
predict --detector yunet; else only the printed lines.
"""

import argparse
import shlex

from jaxalign.commands import new_parser, run
from jaxalign.downloads import FILES, fetch
from jaxalign.errors import InputError, typed


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign download", __doc__)
    parser.add_argument("what", nargs="?", metavar="WHAT",
                        help=f"a benchmark, or {' or '.join(FILES)} (default: a list of "
                        "all)")  # fmt: skip
    parser.add_argument("--out", default="", metavar="DIR", help="where a fetched file is put "
                        "(default: where --detector yunet looks: $JAXALIGN_CACHE, or "
                        "jaxalign/models in $XDG_CACHE_HOME or ~/.cache)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _download(arguments.what, arguments.out))


def _download(what, folder):
    if what in FILES:
        path = fetch(FILES[what], folder)
        option = f"--detector-model {shlex.quote(str(path))}" if folder else f"--detector {what}"
        print(f"{path}\nnext: {typed('predict')} --ckpt W {option} PHOTO")
        return

    from jaxalign.datasets import BENCHMARKS

    told = {name: benchmark.instructions for name, benchmark in BENCHMARKS.items()}
    told |= {name: f"{file.about}: {typed('download')} {name}" for name, file in FILES.items()}
    if what is not None and what not in told:
        raise InputError(f"nothing called {what!r}; there are: {', '.join(told)}")
    shown = told if what is None else {what: told[what]}
    print("\n\n".join(f"{name}: {text}" for name, text in shown.items()))
    if what in BENCHMARKS:
        origin = " --from DIR" if BENCHMARKS[what].needs_root else ""
        print(f"next: {typed('prepare')} {what}{origin}")
