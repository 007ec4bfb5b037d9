"""`jaxalign evaluate` of a checkout: see `python evaluate.py --help`."""

import sys

from jaxalign.commands.evaluate import main


if __name__ == "__main__":
    sys.exit(main(prog="evaluate.py"))
