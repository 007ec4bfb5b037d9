"""CVAT for images 1.1 (docs.cvat.ai, "XML annotation format", version 1.1): `annotations.xml`.

A face is one of three things: a `skeleton`, whose `points` are named by their labels, with
`outside` where a point is not labelled and `occluded` where it is hidden; one `points` shape of as
many points as the scheme has, in its order; or single points, named by their labels, of one
`group_id` or of the photo. A `box` of the same group, or the only one around the points, is the
face's box. Coordinates count from the photo's edge. CVAT for video, whose shapes are tracks, is
refused.
"""

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, box_of, numbers, size_of
from jaxalign.errors import InputError


CORNERS = ("xtl", "ytl", "xbr", "ybr")


def _entries(path, root, asked):
    if root.find("track") is not None:
        raise InputError(
            f"{path}: CVAT for video, whose shapes are tracks; export the task as CVAT for images "
            "1.1"
        )
    count, faces = asked.scheme.num_points, []
    for image in root.iter("image"):
        where = f"image {image.get('name', image.get('id'))}"
        groups = {}
        for shape in image:
            if shape.tag in ("skeleton", "points"):
                whole = shape.tag == "skeleton" or len(_pairs(shape)) == count > 1
                number = len(groups) if whole else None
                groups.setdefault((shape.get("group_id"), number), []).append(shape)
        kept = {}
        for (group, number), shapes in groups.items():
            kind = shapes[0].get("label") if number is not None else None
            if asked.label and kind is not None and kind != asked.label:
                name = f"{path.name}, {where}: {kind}"
                faces.append((where, Remark("annotations of other labels", name)))
            else:
                kept[group, number] = shapes
        for place, ((group, _), shapes) in enumerate(kept.items()):
            one = where if len(kept) == 1 else f"{where}, face {place + 1}"
            faces.append((one, (image, group, {key for key, _ in kept}, shapes)))
        if not groups:
            name = f"{image.get('name')} of {path.name}"
            faces.append((where, Remark("photos without a face", name)))

    def parse(where, entry):
        if isinstance(entry, Remark):
            return entry
        image, group, keys, shapes = entry
        if not image.get("name"):
            raise ValueError("its image has no name")
        named = [point for shape in shapes for point in _points(shape, count)]
        if not named:
            return Remark("photos without a face", f"{path.name}, {where}: all points are outside")
        boxes = [
            (box.get("group_id"), numbers([box.get(key) for key in CORNERS], (4,)))
            for box in image.iter("box")
        ]
        return Row(
            path, where, image.get("name"), named=named,
            box=box_of(group, boxes, named, keys - {None}),
            size=size_of(image.get("width"), image.get("height")),
        )  # fmt: skip

    return faces, parse


def _pairs(shape):
    return [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]


def _points(shape, count):
    """The labelled points of a shape. Raises ValueError."""
    if shape.tag == "skeleton":
        for part in shape.iter("points"):
            if part.get("outside", "0") != "1":
                yield from _points(part, count)
        return
    pairs = _pairs(shape)
    name = "" if len(pairs) == count > 1 else shape.get("label", "")
    if len(pairs) > 1 and name:
        raise ValueError(f"{len(pairs)} points of {name}, the scheme has {count}")
    for x, y in numbers(pairs, (len(pairs), 2)).tolist():
        yield Point(name, x, y, shape.get("occluded", "0") != "1")


LAYOUT = Layout(
    name="cvat",
    what="CVAT's XML",
    endings=(".xml",),
    entries=_entries,
    fits=lambda root: root.tag == "annotations" and root.find("version") is not None,
    base=0.5,
)
