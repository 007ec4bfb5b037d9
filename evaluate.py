"""Score a checkpoint: see `python evaluate.py --help`."""

import sys

from jaxalign.commands.evaluate import main


if __name__ == "__main__":
    sys.exit(main())
