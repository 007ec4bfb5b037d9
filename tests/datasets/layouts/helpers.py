"""Small folders of photos with two schemes' points, for tests of layouts."""

from pathlib import Path

import cv2
import numpy as np

from jaxalign.datasets.faces import Bad, Face, Remark, check_face
from jaxalign.datasets.image_folder import faces
from tests.helpers.trees import draw


FIVE = np.array([[20.25, 21], [44, 22.5], [33, 32], [24, 44.75], [41, 45]], np.float32)
POINTS = np.random.default_rng(0).uniform(8, 56, (29, 2)).round(2).astype(np.float32)  # of COFW


def photo(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw(FIVE, seed))
    return path


def read(root: Path, **options) -> list[Face | Bad | Remark]:
    return list(faces(root, **{"scheme": "cofw29", **options}))


def good(root: Path, **options) -> list[Face]:
    """Its faces, none of which may be bad; remarks are left out."""
    found = [one for one in read(root, **options) if not isinstance(one, Remark)]
    bad = [one.reason if isinstance(one, Bad) else check_face(one) for one in found]
    assert not any(bad), bad
    return found


def reasons(root: Path, **options) -> list[str]:
    return [one.reason for one in read(root, **options) if isinstance(one, Bad)]


def remarks(root: Path, **options) -> list[tuple[str, str]]:
    return [(one.check, one.case) for one in read(root, **options) if isinstance(one, Remark)]


def same(face: Face, points: np.ndarray = POINTS, labelled=None) -> None:
    """Asserts that a face has these points, where they are labelled."""
    (found,), (has,) = face.points.values(), face.labelled.values()
    labelled = np.ones(len(points), bool) if labelled is None else labelled
    np.testing.assert_array_equal(has, labelled)
    np.testing.assert_allclose(found[labelled], points[labelled], atol=1e-4)
