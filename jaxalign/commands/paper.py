"""Make a table or a figure of a paper: its numbers beside ours.

examples:
  jaxalign paper tab
  jaxalign paper tab --table 1
  jaxalign paper gaussian_vector --table 1 --ckpt runs/300w
  jaxalign paper gaussian_vector --table 3 --ckpt runs/wflw_resnet runs/wflw_hrnet
  jaxalign paper gaussian_vector --table 5 --config gv_light_ibug_300w
  jaxalign paper gaussian_vector --figure 4 --ckpt runs/300w
  jaxalign paper tab --table 6 --config tab_aflw --init-from vgg16_bn.pth
  jaxalign paper attention_cropping --figure 1 --ckpt runs/ours runs/fan --report runs/dlib
  jaxalign paper --recipes

needs: for the paper's numbers nothing; for ours data made by jaxalign prepare, and checkpoints of
jaxalign train, reports of jaxalign evaluate, or the recipe of an ablation.
leaves: the printed table; in the work directory models, reports, and a figure as PNG and CSV.

An ablation trains each of its variants once, into WORKDIR/VARIANT (interrupted, it goes on there
when called again). A variant that differs only in the evaluation is not trained. The paper's own
model can be trained in the same way; for TAB, the model before it, of which it takes a part, is
trained too. Every number of ours has its report in WORKDIR/reports. Models and reports that are
given follow as further lines or curves.
"""

import argparse

from jaxalign.commands import add_data_dir, add_import, import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.papers import PAPERS


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign paper", __doc__)
    add = parser.add_argument
    add("paper", choices=PAPERS, nargs="?",
        help="the paper; alone, its tables and figures are listed")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--table", type=int, metavar="N",
        help="a table's number in the paper; 0: numbers of its text, if any")  # fmt: skip
    what.add_argument("--figure", type=int, metavar="N", help="a figure's number in the paper")
    what.add_argument("--recipes", action="store_true", help="how the paper's recipes are trained, "
                       "beside what the paper says; without PAPER, for all papers")  # fmt: skip
    add("--config", default="", help="recipe of an ablation's variants, or of the paper's own "
        "model: a file, or the name of a recipe of the package")  # fmt: skip
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings",
        help="replace fields of every variant's recipe")  # fmt: skip
    add("--init-from", nargs="+", default=[], metavar="PATH",
        help="as for training; a variant starts from the first that fits it")  # fmt: skip
    add("--trainings", type=int, default=1, metavar="N",
        help="train each variant N times, with the recipe's seed and the next ones: the numbers "
        "are means (default: %(default)s)")  # fmt: skip
    add("--ckpt", nargs="+", default=[], help="trained models")
    add("--report", nargs="+", default=[], help="reports of further models, taken as they are")
    add("--data", default="", help="NAME/SPLIT to evaluate (default: the recipe's, the table's)")
    add_data_dir(parser)
    add_import(parser)
    add("--ids", default="", metavar="FILE",
        help="for a figure of listed faces: their ids, one a line")  # fmt: skip
    add("--sizes", nargs="+", type=int, default=[], metavar="PX",
        help="for a figure over resolutions: sides of the faces' crops (default: 256 512 1024 "
        "2048)")  # fmt: skip
    add(
        "--common",
        action="store_true",
        help="for such a figure: at every size only the faces that reach the largest size",
    )
    add(
        "--normaliser",
        default="",
        help="for such a figure: the normaliser of the errors (default: inter_ocular)",
    )
    add("--faces", type=int, default=None, metavar="N",
        help="for such a figure: how many faces it shows (default: 4)")  # fmt: skip
    add("--workdir", default="", help="folder of models and reports (default: runs/PAPER)")
    add("--csv", default="", metavar="FILE",
        help="a file for the printed numbers, with the ends of their intervals")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _paper(arguments))


def _paper(arguments):
    import_files(arguments)
    if arguments.recipes:
        from jaxalign.papers.recipes import text

        print(text([arguments.paper] if arguments.paper else ()))
        return
    asked = arguments.table is not None or arguments.figure is not None
    if not arguments.paper and asked:
        raise InputError(f"whose table or figure? Name one of: {', '.join(PAPERS)}")

    from jaxalign.papers.tables import contents, make

    if not asked:
        print("\n\n".join(map(contents, [arguments.paper] if arguments.paper else PAPERS)))
        return
    options = vars(arguments)
    make(**{name: value for name, value in options.items() if name not in ("imports", "recipes")})
