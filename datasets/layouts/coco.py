"""COCO's keypoints (the data format of COCO 2014 and 2017, cocodataset.org).

MMPose, CVAT and others write them too: one JSON file with images, annotations and categories, or
COCO's own tree, `annotations/*.json`, where files with val or test in their names are the split
test.

Where a category names its keypoints as the scheme does, they are taken by name. The flag of a
keypoint is 0 (not labelled, whatever its place), 1 (labelled, but hidden) or 2 (visible); in a file
without any 2, 1 stands for all labelled keypoints. Boxes and masks without keypoints, annotations
of categories with other points, and photos without any are no faces.
"""

import os
from collections.abc import Mapping

import numpy as np

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Row, corners, numbers, plain, size_of
from jaxalign.errors import InputError


def _entries(path, stored, asked):
    count = asked.scheme.num_points
    if not isinstance(stored, Mapping) or not all(
        isinstance(stored.get(key), list) and all(isinstance(item, dict) for item in stored[key])
        for key in ("images", "annotations")
    ):
        raise InputError(f"{path}: not COCO's JSON; it must hold the lists images and annotations")
    items, images = stored["annotations"], {}
    for image in stored["images"]:
        key, name = str(image.get("id")), image.get("file_name")
        if (first := images.setdefault(key, image).get("file_name")) != name:
            raise InputError(
                f"{path}: the image id {key} is of {first} and of {name}; give each an id of its "
                "own"
            )
    listed = stored.get("categories")
    listed = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    categories = {str(one.get("id")): one for one in listed}
    if asked.label and asked.label not in {str(one.get("name")) for one in listed}:
        names = ", ".join(str(one.get("name")) for one in listed) or "none"
        raise InputError(f"{path}: no category is called {asked.label}; there are: {names}")
    orders = _orders(path, categories, asked.scheme)
    whole = [k for k, one in categories.items() if len(_names(one)) == count]
    # 0: not labelled, 1: labelled but hidden, 2: visible. A file without any 2 says 1 of all that
    # is labelled, hidden or not.
    keypoints = (item.get("keypoints") for item in items)
    seen = 2 if any(isinstance(k, list) and 2 in k[2::3] for k in keypoints) else 1

    def parse(where, item):
        if "keypoints" not in item and "file_name" in item:
            return Remark("photos without a face", f"{item['file_name']} of {path.name}")
        image = images.get(str(item.get("image_id")), {})
        photo = image.get("file_name")
        if not isinstance(photo, str):
            raise ValueError(f"its image_id {item.get('image_id')!r} is none of the images")
        kind = str(item.get("category_id", next(iter(orders)) if len(orders) == 1 else None))
        category = categories.get(kind, {})
        other = whole and kind in categories and kind not in whole
        if other or (asked.label and str(category.get("name")) != asked.label):
            name = category.get("name", kind)
            return Remark("annotations of other categories", f"{path.name}, {where}: {name}")
        flat = item.get("keypoints")
        flat = flat if isinstance(flat, list) else []
        if "keypoints" not in item or (len(flat) == 3 * count and not any(flat[2::3])):
            return Remark("annotations without a labelled point", f"{path.name}, {where}: {photo}")
        if len(flat) != 3 * count:
            raise ValueError(f"{len(flat) / 3:g} points, the scheme has {count}")
        table = numbers(flat, (3 * count,)).reshape(-1, 3)
        table = table[orders.get(kind, slice(None))]
        if not np.isin(table[:, 2], (0, 1, 2)).all():
            raise ValueError("a flag of its keypoints is neither 0, 1 nor 2")
        labelled = table[:, 2] > 0
        table[~labelled, :2] = np.nan
        box = None if item.get("bbox") is None else corners(item["bbox"])
        return Row(
            path, where, photo, table[:, :2], box=box, visible=table[:, 2] >= seen,
            labelled=labelled, size=size_of(image.get("width"), image.get("height")),
            names=(os.path.abspath(photo),),
        )  # fmt: skip

    used = {str(item.get("image_id")) for item in items}
    faces = [(f"annotation {item.get('id', n)}", item) for n, item in enumerate(items)]
    empty = [(f"image {key}", {"file_name": image.get("file_name")})
             for key, image in images.items() if faces and key not in used]  # fmt: skip
    return [*faces, *empty], parse


def _names(category):
    names = category.get("keypoints")
    return [plain(str(name)) for name in names] if isinstance(names, list) else []


def _orders(path, categories, scheme):
    """The keypoint of each point of the scheme, by the id of each category that names keypoints.

    Names are the scheme's, or numbers from 0 or 1; keypoints with other names are in the scheme's
    order. Raises InputError where some names are the scheme's, but at other places.
    """
    orders, count = {}, scheme.num_points
    for key, category in categories.items():
        names = _names(category)
        if len(names) != count:
            continue
        known = {plain(name): place for place, name in enumerate(scheme.names)}
        first = next((str(n) for n in (0, 1) if str(n) in names), "")
        known |= {str(n + int(first)): n for n in range(count)} if first else {}
        places = [known.get(name) for name in names]
        wrong = [i for i, place in enumerate(places) if place not in (None, i)]
        told = [place for place in places if place is not None]
        if sorted(told) == [*range(count)]:
            orders[key] = np.argsort(told)
        elif wrong:
            raise InputError(
                f"{path}: a category calls its keypoint {wrong[0]} {names[wrong[0]]}, which is "
                f"point {places[wrong[0]]} of {scheme.name}; name all points as the scheme does, "
                "or bring them into its order"
            )
    return orders


LAYOUT = Layout(
    name="coco",
    what="COCO's JSON",
    endings=(".json",),
    entries=_entries,
    fits=lambda value: isinstance(value, dict) and {"images", "annotations"} <= value.keys(),
)
