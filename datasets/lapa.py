"""LaPa: 106 points, in the release that also has a face parsing.

Y. Liu, H. Shi, H. Shen, Y. Si, X. Wang, T. Mei: A New Dataset and Boundary-Attention Semantic
Segmentation for Face Parsing. AAAI 2020.

The layout was read from the code of others. The release does not say whether its coordinates count
from 0 or from 1; they are whole numbers and taken as they stand. It has some 18,170 training faces
(sources differ); 2,000 in each of val and test is believed, not verified.
"""

from collections.abc import Iterator
from pathlib import Path

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import listing, photo_group, photo_of, places, read_counted
from jaxalign.errors import InputError
from jaxalign.schemes import LAPA106


FOLDERS = ("train", "val", "test")  # the splits


def faces(root: Path) -> Iterator[Face | Bad]:
    """Reads every face of the splits train, val and test, by name.

    Args:
        root: The folder of the tree, or the one above it.

    Yields:
        A Face or a Bad for each landmark file; points are pixels of the photo, as they stand.

    Raises:
        InputError: `root` holds none of the splits.
    """
    root = Path(root)
    wanted = [f"{folder}/landmarks" for folder in FOLDERS]
    tree = next((p for p in places(root) if any((p / name).is_dir() for name in wanted)), None)
    if tree is None:
        raise InputError(f"{root}: not LaPa; it must hold at least one of {', '.join(wanted)}")
    for folder in FOLDERS:
        photos = dict(listing(tree / folder / "images", ".jpg"))
        for stem, files in listing(tree / folder / "landmarks", ".txt"):
            yield _face(folder, stem, files[".txt"], photo_of(photos.get(stem, {})))


def _face(folder, stem, path, photo):
    identity = f"{folder}/{stem}"
    if photo is None:
        return Bad(identity, path, f"there is no photo {stem}.jpg in {folder}/images")
    try:
        points = read_counted(path, LAPA106.num_points)
    except InputError as error:
        return Bad.of(identity, path, error)
    return Face(
        split=folder,
        id=identity,
        photo=photo,
        points={LAPA106.name: points},
        group=photo_group(stem),
    )


BENCHMARK = Benchmark(
    name="lapa",
    schemes=(LAPA106.name,),
    faces=faces,
    counts={"val": 2000, "test": 2000},
    version="2.1.0",  # 1.0.0: val was part of train; 2.0.0: some photos were several groups
    family="300w",
    notes=(
        "About half of its training photos are those of 300W, test photos among them: a system "
        "trained on it must not be reported on 300W.",
    ),
    instructions=(
        "Download LaPa.tar.gz from https://github.com/JDAI-CV/lapa-dataset and unpack it: "
        "LaPa/{train,val,test}/{images,labels,landmarks}. The labels are not used. The numbers of "
        "faces expected are believed, not verified; that of train is not known exactly."
    ),
    homepage="https://github.com/JDAI-CV/lapa-dataset",
    citation="""
        @inproceedings{liu2020new,
          title = {A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing},
          author = {Liu, Y. and Shi, H. and Shen, H. and Si, Y. and Wang, X. and Mei, T.},
          booktitle = {AAAI},
          year = {2020}
        }
    """,
)
