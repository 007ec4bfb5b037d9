"""A trained checkpoint as one file: see `python export.py --help`."""

import sys

from jaxalign.commands.export import main


if __name__ == "__main__":
    sys.exit(main())
