"""`jaxalign train` of a checkout: see `python train.py --help`."""

import sys

from jaxalign import large_pages
from jaxalign.commands.train import main


if __name__ == "__main__":
    large_pages.restart()
    sys.exit(main(prog="train.py"))
