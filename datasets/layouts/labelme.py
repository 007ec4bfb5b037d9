"""labelme (github.com/wkentaro/labelme, version 5; LabelFile.save): a JSON file beside each photo.

`shapes` are points (`shape_type` "point"), each with its name as `label`; those of one `group_id`
are one face, and a rectangle of the same group, or the only one that holds the face's points, is
its box. A `linestrip` (or `points`) of as many points as the scheme has is a face in its order. The
flag `occluded` or `hidden` of a point says that it is hidden. `imagePath` is the photo, from the
JSON file on, else the photo of the JSON file's name. Coordinates count from the photo's edge: the
middle of the first pixel is 0.5, 0.5. The photo is as its EXIF rotation shows it.
"""

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, between, box_of, numbers, size_of


HIDDEN = ("occluded", "hidden", "invisible")  # flags of a point
LINES = ("linestrip", "points")  # shapes that hold the points of a face in their order
FACES = ("point", *LINES)


def _entries(path, stored, asked):
    shapes, image = stored["shapes"], stored.get("imagePath")
    photo = image if isinstance(image, str) and image else path.stem
    groups = {}
    for number, shape in enumerate(shapes if isinstance(shapes, list) else []):
        if isinstance(shape, dict):
            groups.setdefault(str(shape.get("group_id")), []).append((number, shape))
    keys = {
        key for key, those in groups.items() if any(s.get("shape_type") in FACES for _, s in those)
    }

    def parse(where, those):
        if those is None:
            return Remark("photos without a face", f"{path.name}: none of its shapes is a point")
        key, those = those
        lines = [s for _, s in those if s.get("shape_type") in LINES]
        if lines:
            points = numbers(lines[0].get("points"), (asked.scheme.num_points, 2))
            named = [Point("", x, y) for x, y in points.tolist()]
        else:
            named = [_point(n, s) for n, s in those if s.get("shape_type") == "point"]
        boxes = [
            (group, between(shape.get("points")))
            for group, held in groups.items()
            for _, shape in held
            if shape.get("shape_type") == "rectangle"
        ]
        return Row(
            path, where, photo, named=named, box=box_of(key, boxes, named, keys),
            size=size_of(stored.get("imageWidth"), stored.get("imageHeight")),
            folder=asked.folder.start(path), names=(path.stem,),
        )  # fmt: skip

    faces = []
    for key, those in groups.items():
        lines = [pair for pair in those if pair[1].get("shape_type") in LINES]
        place = "no group" if key == "None" else f"group {key}"
        if any(shape.get("shape_type") == "point" for _, shape in those):
            faces.append((place, (key, [pair for pair in those if pair not in lines])))
        faces += [(f"shape {number}", (key, [(number, shape)])) for number, shape in lines]
    return faces or [("shapes", None)], parse


def _point(number, shape):
    """The point of a shape. Raises ValueError that names the shape."""
    try:
        ((x, y),) = numbers(shape.get("points"), (1, 2)).tolist()
    except ValueError as error:
        raise ValueError(f"shape {number}: {error}") from None
    flags = shape.get("flags")
    hidden = isinstance(flags, dict) and any(flags.get(name) is True for name in HIDDEN)
    return Point(str(shape.get("label", "")), x, y, not hidden)


LAYOUT = Layout(
    name="labelme",
    what="labelme's JSON",
    endings=(".json",),
    entries=_entries,
    fits=lambda value: isinstance(value, dict) and "shapes" in value and "objects" not in value,
    base=0.5,
    beside=True,
)
