"""`jaxalign train` of a checkout: see `python train.py --help`."""

import sys

from jaxalign import memory
from jaxalign.commands.train import main


if __name__ == "__main__":
    memory.restart()
    sys.exit(main(prog="train.py"))
