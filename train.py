"""`jaxalign train` of a checkout: see `python train.py --help`."""

import sys

from jaxalign.commands.train import main


if __name__ == "__main__":
    sys.exit(main(prog="train.py"))
