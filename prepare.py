"""Store a benchmark for training: `python prepare.py --help`."""

import sys

from jaxalign.commands.prepare import main


if __name__ == "__main__":
    sys.exit(main())
