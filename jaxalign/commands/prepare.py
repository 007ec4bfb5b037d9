"""Check every face of a benchmark's official download and store it for training.

examples:
  jaxalign prepare ibug_300w --from ~/downloads/300w --check
  jaxalign prepare ibug_300w --from ~/downloads/300w
  jaxalign prepare ibug_300w --from ~/downloads/300w --attributes mine.csv
  jaxalign prepare image_folder --from photos --labels found/faces.json --set scheme=ibug68
  jaxalign prepare synthetic_faces --set train=1000 test=200

needs: the benchmark's official files, unpacked; without --from it says where they are and how they
must lie. synthetic_faces needs nothing: they are drawn.
leaves: DATA_DIR/NAME, which jaxalign train and evaluate read; printed: the faces of each split.

--attributes gives every face the six flags of a CSV file: id, pose, expression, illumination,
make-up, occlusion, blur. They are part of the data set's name, which is printed: a changed file
makes another data set.

Faces of training splits are stored on photos of their surroundings, and reduced if their box is
larger than 512 pixels: for quick reading. --max-face says otherwise, such as 0 for systems that
take larger crops (attention_ibug_300w); one's own faces and drawn ones stay whole unless it is
given.

What is written is a TFDS data set in array_record files. TFDS's own command line writes the same,
tfds build NAME --imports jaxalign.datasets.tfds_builders --manual_dir DIR --data_dir D, but needs
TensorFlow and Apache Beam; this command needs neither.
"""

import argparse
import shlex
from pathlib import Path

from jaxalign.commands import new_parser, run
from jaxalign.errors import InputError, typed
from jaxalign.places import place
from jaxalign.sources import DEFAULT_DATA_DIR


def main(argv: list[str] | None = None) -> int:
    """The command `prepare`; returns its exit code."""
    arguments = parser().parse_args(argv)
    return run(lambda: _prepare(arguments))


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign prepare", __doc__)
    add = parser.add_argument
    add("name", metavar="NAME", help="the benchmark; a wrong name lists all")
    add("--from", "--manual_dir", dest="root", type=Path, metavar="DIR",
        help="folder of its files, as downloaded")  # fmt: skip
    add("--data-dir", "--data_dir", type=place, default=DEFAULT_DATA_DIR, metavar="D",
        help="where to store it (default: JAXALIGN_DATA of the environment, else "
        "./data)")  # fmt: skip
    add("--check", action="store_true",
        help="build nothing; tell what is missing, broken, duplicated or known to leak; the exit "
        "code is 2 where something FAILs")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="with --check: a file for the findings as JSON")
    add("--attributes", type=Path, metavar="FILE",
        help="CSV of the faces' attributes, one line for each face")  # fmt: skip
    add("--max-face", nargs="+", action="extend", default=[], metavar="PX",
        help="reduce larger faces of the training split to this longer side of their box "
        "(pixels); SPLIT=PX for another split; 0: keep whole photos (default: 512, other splits "
        "0)")  # fmt: skip
    add("--labels", type=Path, metavar="PATH", help="with image_folder: the file or folder of the "
        "annotations, where they are not in --from, the photos' folder")  # fmt: skip
    add("--skip-bad", action="store_true", help="leave out faces that cannot be used")
    add("--overwrite", action="store_true", help="build again what is already prepared")
    add("--set", dest="settings", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="options of the benchmark; a wrong key lists them")  # fmt: skip
    return parser


def _prepare(arguments):
    if arguments.json is not None and not arguments.check:
        raise InputError("--json goes with --check; a build writes no JSON")
    if arguments.max_face and arguments.check:
        raise InputError("--max-face goes with a build; --check stores nothing")

    from jaxalign import scheme_files
    from jaxalign.datasets import doctor, prepare

    if arguments.check:
        found = prepare.check(
            arguments.name, arguments.root, arguments.settings, arguments.json,
            attributes=arguments.attributes, labels=arguments.labels,
        )  # fmt: skip
        return 2 if found.count(doctor.FAIL) else 0
    spec, built = prepare.prepare(
        arguments.name, arguments.root, arguments.data_dir, arguments.settings,
        attributes=arguments.attributes, labels=arguments.labels, skip_bad=arguments.skip_bad,
        overwrite=arguments.overwrite, max_face=arguments.max_face,
    )  # fmt: skip
    given = arguments.data_dir, DEFAULT_DATA_DIR
    where = [] if given[0] == given[1] else ["--data-dir", str(given[0])]
    if "train" in built.found:
        name, options = "train", ["--config", "RECIPE", "--workdir", "W", *where]
        options += ["--set", f"data.train={spec}/train"]
        options += [f"data.val={spec}/val"] if "val" in built.found else []
        options += [f"system.scheme={file}" for file in scheme_files.FILES.values()]
    else:
        name, options = "evaluate", ["--ckpt", "W", *where, "--data", f"{spec}/test"]
    print(f"next: {typed(name)} {shlex.join(options)}")
