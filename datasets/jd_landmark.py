"""JD-landmark: 106 points and a detector's box on photos of AFW, HELEN, IBUG and LFPW.

Y. Liu et al.: Grand Challenge of 106-Point Facial Landmark Localization. ICME Workshops 2019.

None of its files were seen. The layout was read from the code of others: the folders
Training_data/{AFW,HELEN,IBUG,LFPW} and Test_data1 hold `picture/NAME.jpg`, `landmark/NAME.jpg.txt`
and perhaps `rect/NAME.jpg.rect`; Corrected_landmark/NAME.jpg.txt replace points of the same name;
and training_dataset_face_detection_bounding_box/NAME.jpg.rect hold boxes. That its 106 points are
in LaPa's order, and the number of faces, are believed, not verified. The release does not state the
base of its coordinates: they are taken as they stand.

The photos are those of 300W, test photos among them: do not train on it to report 300W.
"""

from collections.abc import Iterator
from pathlib import Path

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import below, photo_group, read_counted, read_rect
from jaxalign.errors import InputError
from jaxalign.schemes import LAPA106


def faces(root: Path) -> Iterator[Face | Bad]:
    """Reads every face with a landmark file: folder after folder, by name.

    Folders called test... are the split test, those called val... the split val, all others train.

    Args:
        root: The folder of the unpacked archives.

    Yields:
        A Face or a Bad for each landmark file; points are pixels of the photo, as they stand.

    Raises:
        InputError: `root` holds no folder `landmark`.
    """
    root = Path(root)
    there = sorted(below(root))
    folders = [path.parent for path in there if path.name == "landmark" and path.is_dir()]
    if not folders:
        raise InputError(f"{root}: not JD-landmark; it must hold Training_data or Test_data1")
    texts = [path for path in there if path.suffix == ".txt"]
    corrected = {path.name: path for path in texts if path.parent.name == "Corrected_landmark"}
    boxes = {path.name: path for path in there if path.suffix == ".rect"}
    for folder in folders:
        for path in texts:
            if path.parent == folder / "landmark":
                yield _face(root, folder, path.stem, corrected.get(path.name, path), boxes)


def _face(root, folder, name, path, boxes):
    place = folder.relative_to(root)
    identity, photo = (place / Path(name).stem).as_posix(), folder / "picture" / name
    if not photo.is_file():
        return Bad(identity, photo, f"there is no such photo for {path.name}")
    beside = folder / "rect" / f"{name}.rect"
    box = beside if beside.is_file() else boxes.get(f"{name}.rect")
    try:
        points = read_counted(path, LAPA106.num_points)
        known = {} if box is None else {"dataset": read_rect(box)}
    except InputError as error:
        wrong = path if box is None or str(error).startswith(f"{path}: ") else box
        return Bad.of(identity, wrong, error)
    named = root.name if root.name not in ("", "..") else root.resolve().name
    parts = [part.lower() for part in place.parts or (named,)]
    return Face(
        split=next((s for s in ("test", "val") if any(p.startswith(s) for p in parts)), "train"),
        id=identity,
        photo=photo,
        points={LAPA106.name: points},
        boxes=known,
        group=photo_group(Path(name).stem),
    )


BENCHMARK = Benchmark(
    name="jd_landmark",
    schemes=(LAPA106.name,),
    faces=faces,
    counts={"train": 11393, "val": 2000, "test": 2000},
    version="2.0.0",  # 1.0.0: val was part of train
    instructions=(
        "Download Training_data.zip, Test_data1.zip, Corrected_landmark.zip and "
        "training_dataset_face_detection_bounding_box_v1.zip from "
        "https://facial-landmarks-localization-challenge.github.io and unpack them into one "
        "folder. The numbers of faces expected are believed, not verified."
    ),
    homepage="https://facial-landmarks-localization-challenge.github.io",
    citation="""
        @inproceedings{liu2019grand,
          title = {Grand Challenge of 106-Point Facial Landmark Localization},
          author = {Liu, Y. and Shen, H. and Si, Y. and Wang, X. and Zhu, X. and
            Shi, H. and others},
          booktitle = {ICME Workshops},
          year = {2019}
        }
    """,
    family="300w",
    notes=(
        "Its photos are those of 300W, test photos among them: a system trained on it must not be "
        "reported on 300W.",
    ),
)
