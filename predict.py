"""Landmarks on photos and videos: see `python predict.py --help`."""

import sys

from jaxalign.commands.predict import main


if __name__ == "__main__":
    sys.exit(main())
