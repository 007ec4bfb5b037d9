"""MERL-RAV: 68 points on some 19,000 faces of AFLW, each visible, hidden or without a place.

A. Kumar, T. K. Marks, W. Mou, Y. Wang, M. Jones, A. Cherian, T. Koike-Akino, X. Liu, C. Feng: LUVLi
Face Alignment: Estimating Landmarks' Location, Uncertainty, and Visibility Likelihood. CVPR 2020
(the repository abhi1kumar/MERL-RAV_dataset).

The repository holds merl_rav_labels/POSE/{trainset,testset}/labels/NAME.pts, where POSE is frontal,
lefthalf, righthalf, left or right; a photo with several faces has files NAME_1, NAME_2, ... Its
script puts labels and AFLW's photos side by side,
merl_rav_organized/POSE/{trainset,testset}/NAME.{pts,jpg}. Both are read; for the first, photos are
looked for by name in aflw/flickr/{0,2,3}.

A point (x, y) is visible. (-x, -y) is hidden by a thing and lies at (x, y). (-1, -1) is hidden by
the face itself: its place was not even estimated, so it is neither trained on nor scored; 38 % of
the points of profiles are such. The release does not say where coordinates count from; they are
taken as they stand, as LUVLi's code takes them. LUVLi's code divides a face's errors by all 68
points and counts those without a place as found: the normaliser box_luvli gives its numbers, box
those of the labelled points alone.
"""

from collections.abc import Iterator
from pathlib import Path

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import PHOTOS, listing, photo_of, places, read_pts, unsigned
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68


SUBSETS = {
    "frontal": "frontal",
    "lefthalf": "half_profile",
    "righthalf": "half_profile",
    "left": "profile",
    "right": "profile",
}  # of each folder, as LUVLi's tables name them
SPLITS = {"trainset": "train", "testset": "test"}
PHOTO_FOLDERS = ("aflw/flickr", "aflw/data/flickr", "flickr", "data/flickr", "")  # of 0, 2, 3


def faces(root: Path) -> Iterator[Face | Bad]:
    """Reads every label file, train first, then folder after folder, by name.

    Args:
        root: The folder that holds merl_rav_labels (and AFLW's photos) or merl_rav_organized.

    Yields:
        A Face or a Bad for each label file; points are pixels of the photo, as they stand.

    Raises:
        InputError: `root` holds neither of the two.
    """
    root = Path(root)
    trees = [
        p / name for p in places(root) for name in ("merl_rav_organized", "merl_rav_labels", "")
    ]
    tree = next((t for t in trees if any((t / name).is_dir() for name in SUBSETS)), None)
    if tree is None:
        raise InputError(f"{root}: not MERL-RAV; it must hold merl_rav_labels/frontal and so on")
    elsewhere = {}
    for part in SPLITS:
        for pose in SUBSETS:
            beside = tree / pose / part
            folder = beside / "labels" if (beside / "labels").is_dir() else beside
            for name, files in listing(folder, ".pts"):
                photo = photo_of(files)
                if photo is None:
                    elsewhere = elsewhere or _photos([*places(root), tree.parent])
                    photo = elsewhere.get(name.partition("_")[0])
                yield _face(pose, part, name, files[".pts"], photo)


def _photos(folders):
    """AFLW's photos by name, from the folders 0, 2 and 3 that lie in these folders."""
    found = {}
    for place in folders:
        for parent in PHOTO_FOLDERS:
            for number in "023":
                for path in sorted((place / parent / number).glob("image*")):
                    if path.suffix.lower() in PHOTOS:
                        found.setdefault(path.stem, path)
    return found


def _face(pose, part, name, path, photo):
    identity, stem = f"{pose}/{part}/{name}", name.partition("_")[0]
    if photo is None:
        return Bad(identity, path, f"AFLW's photo {stem}.jpg is not in aflw/flickr/0, 2 or 3")
    try:
        points, visible, labelled = unsigned(read_pts(path, IBUG68.num_points, base=0))
    except InputError as error:
        return Bad.of(identity, path, error)
    except ValueError as error:
        return Bad(identity, path, str(error))
    split = SPLITS[part]
    return Face(
        split=split,
        id=identity,
        photo=photo,
        points={IBUG68.name: points},
        visible={IBUG68.name: visible},
        labelled={IBUG68.name: labelled},
        subsets=(SUBSETS[pose],) if split == "test" else (),
        group=stem,
    )


BENCHMARK = Benchmark(
    name="merl_rav",
    schemes=(IBUG68.name,),
    faces=faces,
    counts={
        "train": 15449,
        "test": 3865,
        "frontal": 2195,
        "half_profile": 601,
        "profile": 1069,
    },
    instructions=(
        "Download https://github.com/abhi1kumar/MERL-RAV_dataset (merl_rav_labels/) and ask for "
        "AFLW at https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/; "
        "put aflw/flickr/{0,2,3}/*.jpg beside merl_rav_labels. merl_rav_organized/, which its "
        "script makes of the two, is read as well."
    ),
    homepage="https://github.com/abhi1kumar/MERL-RAV_dataset",
    citation="""
        @inproceedings{kumar2020luvli,
          title = {{LUVLi} Face Alignment: Estimating Landmarks' Location, Uncertainty, and
            Visibility Likelihood},
          author = {Kumar, A. and Marks, T. K. and Mou, W. and Wang, Y. and Jones, M. and
            Cherian, A. and Koike-Akino, T. and Liu, X. and Feng, C.},
          booktitle = {CVPR},
          year = {2020}
        }
    """,
    family="aflw",
    notes=(
        "1,089 of its 14,916 photos have a face in train and another one in test.",
        "Its photos are AFLW's, as those of AFLW2000-3D are: do not train on one and test on "
        "another.",
    ),
)
