"""A tiny MERL-RAV in its two layouts."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.trees import draw, face68


# Of one photo a face is in train and another in test, as in the official labels.
FACES = (
    ("frontal/trainset/image00019", "0"),
    ("frontal/testset/image00070_1", "2"),
    ("lefthalf/testset/image00442", "3"),
    ("right/trainset/image00070_2", "2"),
    ("right/testset/image00120", "2"),
)


# Train first, then frontal, lefthalf, right.
ORDER = tuple(FACES[n][0] for n in (0, 3, 1, 2, 4))


def signed68(number: int, profile: bool) -> np.ndarray:
    """(68, 2) points as MERL-RAV stores them: 17 to 20 hidden by a thing, of a profile the half
    next to point 0 without a place."""
    points = face68(number)
    points[17:21] *= -1
    if profile:
        points[[*range(8), 36, 37, 38, 39, 40, 41]] = -1
    return points


def make_merl_rav(root: Path, organized: bool = False) -> dict[str, np.ndarray]:
    """Labels and AFLW's photos, or what the official script makes of them -> {id: stored points}.

    In the order in which they are read.
    """
    made = {name: signed68(n, name[:5] == "right") for n, (name, _) in enumerate(FACES)}
    for number, (name, folder) in enumerate(FACES):
        pose, part, stem = name.split("/")
        if organized:
            path = root / "merl_rav_organized" / pose / part / f"{stem}.pts"
            photo = path.with_suffix(".jpg")
        else:
            path = root / "merl_rav_labels" / pose / part / "labels" / f"{stem}.pts"
            photo = root / "aflw/flickr" / folder / f"{stem.partition('_')[0]}.jpg"
        for parent in (path.parent, photo.parent):
            parent.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(f"{x:g} {y:g}" for x, y in made[name])
        path.write_text(f"version: 1\nn_points:  68\n{{\n{lines}\n}}")
        cv2.imwrite(str(photo), draw(face68(number), number))
    return {name: made[name] for name in ORDER}
