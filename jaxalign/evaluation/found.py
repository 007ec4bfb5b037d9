"""The faces that `jaxalign predict` found, brought to the true ones by the names of their photos.

faces.json names photos, not faces. It may hold several faces of a photo, more faces than are
annotated, and more photos. Two names stand for one photo if one is the end of the other ("a/1.jpg"
and "photos/a/1.jpg"), if need be without their endings and with folders in between ("test/1" and
"test/images/1.jpg"). In a photo, the found and the true face whose points are nearest belong
together, then the next. A face farther from the true one than REACH times its box's longer side is
another face. Faces of low confidence count too, since the file says where they are.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from jaxalign.errors import InputError
from jaxalign.metrics import listed
from jaxalign.photos import SUFFIXES
from jaxalign.records import numbers, predicted_photos
from jaxalign.schemes import Scheme


REACH = 0.5  # largest mean distance of one face's points, in longer sides of its box


def by_photo(
    held: dict, path: Path, scheme: Scheme, wanted: Mapping[str, Mapping[int, np.ndarray]]
) -> dict[int, np.ndarray]:
    """Find the predicted face of each true face.

    Args:
        held: The content of the file at `path`.
        path: The faces.json, for messages.
        scheme: The scheme of the points.
        wanted: Name of a photo -> its true faces: row -> (K, 2) points in pixels of the photo, NaN
            where not labelled.

    Returns:
        Row of a true face -> the (K, 2) points of the face found. Rows without one are left out.

    Raises:
        InputError: The file is of a video or of another scheme, cannot be read, or shares no photo,
            or no face, with the true ones. The message names the file.
    """
    if held["scheme"] != scheme.name:
        raise InputError(
            f"{path}: its points are of {held['scheme']}, not {scheme.name}; predict with --scheme "
            f"{scheme.name}"
        )
    photos = _faces(predicted_photos(held, path), path, scheme)
    named = _named(wanted, photos, path)
    if not named:
        raise InputError(
            f"{path}: names none of the photos of the true faces, which are called "
            f"{listed(sorted(wanted), 2)}, but {listed(sorted(photos), 2)}; predict the photos of "
            "these faces"
        )
    found = {}
    for name, photo in named.items():
        found |= _paired(wanted[name], photos[photo])
    if not found:
        raise InputError(
            f"{path}: finds none of the true faces in the {len(named)} photos that it shares with "
            "them; are the true points of these photos, in pixels?"
        )
    return found


def _faces(records, path, scheme):
    """Photo -> its faces: (K, 2) points, and the longer side of the box."""
    photos = {}
    for record in records:
        name = record["photo"]
        if name in photos:
            raise InputError(f"{path}: names the photo {name} twice; leave one of them")
        photos[name] = []
        for number, face in enumerate(record.get("faces") or [], 1):
            where = f"{path}, photo {name}, face {number}"
            points = numbers(face.get("points"), (scheme.num_points, 2), "points", where)
            box = numbers(face.get("box"), (4,), "box", where)
            if not (np.isfinite(points).all() and np.isfinite(box).all()):
                raise InputError(f"{where}: a number is missing or not finite; predict again")
            photos[name].append((points, max(box[2:] - box[:2])))
    return photos


def _named(wanted: Iterable[str], photos: Iterable[str], path) -> dict[str, str]:
    """Name of a true face's photo -> the photo of the file. Names without one are left out.

    The longest common end counts. Raises InputError where a name may be of several photos, or a
    photo of several names.
    """
    found: dict[str, str] = {}  # photo -> name
    for form, shared in ((_parts, _common), (_bare, _common), (_bare, _within)):
        index, chosen = defaultdict(list), {}
        for photo in photos:
            if photo not in found:
                index[form(photo)[-1]].append((form(photo), photo))
        left = {name: form(name) for name in set(wanted) - set(found.values())}
        for name, parts in sorted(left.items(), key=lambda item: (-len(item[1]), item[0])):
            common = {  # without photos that a longer name has
                photo: shared(one, parts)
                for one, photo in index[parts[-1]]
                if photo not in chosen or len(left[chosen[photo]]) <= len(parts)
            }
            most = max(common.values(), default=0)
            best = [photo for photo, count in common.items() if count == most > 0]
            if len(best) > 1 or chosen.keys() & best:
                which = listed(sorted({*best, *(chosen.get(photo, photo) for photo in best)}), 4)
                raise InputError(
                    f"{path}: it cannot be told which photo is {name} of the true faces ({which}); "
                    "predict these photos alone, from the folder that their names begin in"
                )
            chosen |= dict.fromkeys(best, name)
        found |= chosen
    return {name: photo for photo, name in found.items()}


def _parts(name):
    return posixpath.normpath(name.replace("\\", "/")).split("/")


def _common(one, other):
    """How many parts the shorter name has if the longer one ends in them, else 0."""
    count = min(len(one), len(other))
    return count if one[-count:] == other[-count:] else 0


def _within(one, other):
    """How many parts the shorter name has if the longer one holds them in this order, else 0."""
    short, long = sorted((one, other), key=len)
    rest = iter(long)
    return len(short) if all(part in rest for part in short) else 0


def _bare(name):
    """The parts of a name without the ending of a photo."""
    start, ending = posixpath.splitext(name)
    return _parts(start if ending.lower() in SUFFIXES else name)


def _paired(true, faces):
    """Row -> points of the face found there, in one photo."""
    distances = []
    for row, points in true.items():
        for place, (found, side) in enumerate(faces):
            distance = np.nanmean(np.linalg.norm(found - points, axis=-1))
            if distance <= REACH * side:
                distances.append((distance, row, place))
    pairs, used = {}, set()
    for _, row, place in sorted(distances):
        if row not in pairs and place not in used:
            pairs[row] = faces[place][0]
            used.add(place)
    return pairs
