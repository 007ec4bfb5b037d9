"""VGG Image Annotator (VIA 2.0.x, robots.ox.ac.uk/~vgg/software/via).

Its JSON export, its project file (`_via_img_metadata`), and its CSV export, one region a line, are
read.

Regions of the shape "point" (cx, cy) are points. An attribute of the regions gives their names: the
one called name, label, landmark, point, part or keypoint, or the only one there is. Another one,
called face, face_id, group or person, tells the faces of a photo apart. Points without attributes
are in the scheme's order. A polyline or polygon of as many points as the scheme has is a face in
its order, a rect a face's box. Coordinates are whole pixels, counted from 0.
"""

from jaxalign import texts
from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, box_of, corners, numbers, plain
from jaxalign.errors import InputError


NAMES = ("name", "label", "landmark", "point", "part", "keypoint")
FACES = ("face", "face_id", "group", "person")
FIELDS = ("filename", "region_shape_attributes", "region_attributes")


def _json(path, stored, asked):
    stored = stored.get("_via_img_metadata", stored)
    photos = []
    for image in stored.values():
        regions = image.get("regions") or []
        regions = [*regions.values()] if isinstance(regions, dict) else regions  # as VIA 1 has them
        if not isinstance(regions, list):
            raise InputError(f"{path}: regions of {image.get('filename')} must be a list")
        photos.append((image.get("filename"), regions))
    return _faces(path, photos, asked)


def _csv(path, rows, asked):
    (_, header), *rows = rows
    header = [name.lower().lstrip("#") for name in header]
    if twice := texts.repeated(header):
        raise InputError(f"{path}: its header holds {twice!r} twice")
    photos = {}
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{path}, line {line}: {len(cells)} columns, not {len(header)}")
        row = dict(zip(header, cells, strict=True))
        try:
            shape, attributes = (texts.from_json(row[key] or "{}") for key in FIELDS[1:])
        except ValueError as error:
            raise InputError(f"{path}, line {line}: its region is not JSON ({error})") from None
        regions = photos.setdefault(row["filename"], [])
        if shape:
            regions.append({"shape_attributes": shape, "region_attributes": attributes})
    return _faces(path, photos.items(), asked)


def _faces(path, photos, asked):
    count, faces = asked.scheme.num_points, []
    for photo, regions in photos:
        where, groups = f"photo {photo}", {}
        for number, region in enumerate(regions):
            shape, attributes = (_part(region, key) for key in
                                 ("shape_attributes", "region_attributes"))  # fmt: skip
            group = next((str(v) for k, v in attributes.items() if plain(k) in FACES), None)
            if shape.get("name") == "point":
                groups.setdefault((group, None), []).append((number, shape, attributes))
            elif isinstance(xs := shape.get("all_points_x"), list) and len(xs) == count > 1:
                groups.setdefault((group, number), []).append((number, shape, attributes))
        keys = {key for key, _ in groups}
        for (group, number), held in groups.items():
            part = f", {group}" if group is not None else ""
            part += f", region {number}" if number is not None else ""
            faces.append((where + part, (photo, regions, group, keys, held)))
        if not groups:
            faces.append((where, (photo, regions, None, keys, [])))

    def parse(where, entry):
        photo, regions, group, keys, held = entry
        if not isinstance(photo, str) or not photo:
            raise ValueError("it has no filename")
        if not held:
            return Remark("photos without a face", f"{photo} of {path.name}")
        named = [point for one in held for point in _points(*one)]
        boxes = [
            (next((str(v) for k, v in given.items() if plain(k) in FACES), None), _rect(shape))
            for shape, given in (
                (_part(one, "shape_attributes"), _part(one, "region_attributes")) for one in regions
            )
            if shape.get("name") == "rect"
        ]
        return Row(path, where, photo, named=named, box=box_of(group, boxes, named, keys))

    return faces, parse


def _part(region, key):
    part = region.get(key) if isinstance(region, dict) else None
    return part if isinstance(part, dict) else {}


def _points(number, shape, attributes):
    """The points of a region. Raises ValueError that names the region."""
    try:
        if shape.get("name") != "point":
            xs, ys = shape["all_points_x"], shape.get("all_points_y")
            xs, ys = (numbers(values, (len(xs),)).tolist() for values in (xs, ys))
            return [Point("", x, y) for x, y in zip(xs, ys, strict=True)]
        x, y = numbers([shape.get("cx"), shape.get("cy")], (2,)).tolist()
        return [Point(_name(attributes), x, y)]
    except ValueError as error:
        raise ValueError(f"region {number}: {error}") from None


def _name(attributes):
    """The name of a point. Raises ValueError where none of its attributes is known to hold it."""
    rest = {plain(k): v for k, v in attributes.items() if plain(k) not in FACES}
    known = [rest[key] for key in NAMES if key in rest] or [*rest.values()]
    if len(rest) > 1 and not any(key in rest for key in NAMES):
        raise ValueError(
            f'its attributes are {", ".join(rest)}; call that of the points\' names "name"'
        )
    return str(known[0]) if known else ""


def _rect(shape):
    return corners([shape.get(key) for key in ("x", "y", "width", "height")])


def _is_json(value):
    if not isinstance(value, dict):
        return False
    images = value.get("_via_img_metadata", value)
    return (
        isinstance(images, dict)
        and bool(images)
        and all(
            isinstance(one, dict) and {"filename", "regions"} <= one.keys()
            for one in images.values()
        )  # fmt: skip
    )


def is_csv(rows) -> bool:
    """Whether the rows of a CSV are VIA's, as their header tells."""
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], tuple):
        return False
    return {*FIELDS} <= {name.lower().lstrip("#") for name in rows[0][1]}


def _entries(path, held, asked):
    return (_csv if path.suffix.lower() == ".csv" else _json)(path, held, asked)


LAYOUT = Layout(
    name="via",
    what="VGG Image Annotator's JSON or CSV",
    endings=(".json", ".csv"),
    entries=_entries,
    fits=lambda held: is_csv(held) or _is_json(held),
)
