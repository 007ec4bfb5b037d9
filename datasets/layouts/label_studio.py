"""Label Studio (1.x, labelstud.io, "Label Studio JSON format of annotated tasks"): the export JSON.

It is a list of tasks, each with its `data` (the photo) and `annotations`, whose `result` holds
regions of the type `keypointlabels`: x and y in percent of the photo's sides. A point belongs to
the face of its `parentID`, or of the rectangle that a `relation` ties it to; otherwise all points
of the task are one face. Photos were uploaded ("/data/upload/1/1a2b3c4d-me.jpg": the photo may lie
in the folder with that prefix or without), local ("/data/local-files/?d=photos/me.jpg") or on the
network. Cancelled annotations do not count; of several, the ground truth counts.
"""

import re
from urllib.parse import parse_qs, unquote, urlsplit

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, box_of, corners, numbers, size_of
from jaxalign.photos import SUFFIXES


KEYS = {"id", "parentID", "from_id", "to_id"}


def _entries(path, tasks, asked):
    faces = []
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number)}"
        given = task.get("annotations", task.get("completions"))
        given = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        kept = [one for one in given if not one.get("was_cancelled")]
        kept = [one for one in kept if one.get("ground_truth") is True] or kept
        results = kept[0].get("result") if kept else None
        results = [r for r in results if isinstance(r, dict)] if isinstance(results, list) else []
        points = [one for one in results if one.get("type") == "keypointlabels"]
        for one in results:  # ids are texts, and others are told by what they look like
            for key in KEYS & one.keys():
                one[key] = None if one[key] in (None, "") else str(one[key])
        ties = {r.get("from_id"): r.get("to_id") for r in results if r.get("type") == "relation"}
        groups = {}
        for one in points:
            parent = one.get("parentID") or ties.get(one.get("id"))
            groups.setdefault(parent, []).append(one)
        for place, (key, held) in enumerate(groups.items(), 1):
            part = f", face {place}" if len(groups) > 1 else ""
            faces.append((where + part, (task, len(kept), results, key, set(groups), held)))
        if not groups:
            faces.append((where, (task, len(kept), results, None, set(), [])))

    def parse(where, entry):
        task, count, results, key, keys, held = entry
        photo, *names = _names(task)
        if count > 1:
            raise ValueError(
                f"{count} annotations of one photo; keep one, or mark it as the ground truth"
            )
        if not held:
            return Remark("photos without a face", f"{photo} of {path.name}")
        if turned := next((one["image_rotation"] for one in held if one.get("image_rotation")), 0):
            raise ValueError(f"its photo was turned by {turned} degrees in the tool; turn it back")
        named = [_point(one) for one in held]
        boxes = [(one.get("id"), _rectangle(one)) for one in results
                 if one.get("type") == "rectanglelabels"]  # fmt: skip
        return Row(
            path, where, photo, named=named, box=box_of(key, boxes, named, keys - {None}),
            size=size_of(held[0].get("original_width"), held[0].get("original_height")),
            percent=True, names=tuple(names),
        )  # fmt: skip

    return faces, parse


def _point(one):
    """The point of a region. Raises ValueError that names the region."""
    value = one.get("value")
    value = value if isinstance(value, dict) else {}
    labels = value.get("keypointlabels")
    try:
        if not isinstance(labels, list) or len(labels) > 1:
            raise ValueError("it needs one label")
        x, y = numbers([value.get("x"), value.get("y")], (2,)).tolist()
    except ValueError as error:
        raise ValueError(f"region {one.get('id')}: {error}") from None
    return Point(str(labels[0]) if labels else "", x, y)


def _rectangle(one):
    value = one.get("value")
    value = value if isinstance(value, dict) else {}
    return corners([value.get(key) for key in ("x", "y", "width", "height")])


def _names(task):
    """The names that the photo of a task may have, in the order to try. Raises ValueError."""
    data = task["data"]
    texts = [value for value in data.values() if isinstance(value, str)]
    address = next((data[key] for key in ("image", "img") if isinstance(data.get(key), str)), None)
    address = address or next((t for t in texts if t.lower().endswith(tuple(SUFFIXES))), None)
    if address is None:
        raise ValueError(f"its data ({', '.join(data)}) names no photo")
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    name = local[0] if local else unquote(parts.path) if parts.scheme or "%" in address else address
    plain = re.sub(r"^[0-9a-f]{8}-", "", name.rpartition("/")[2])
    if parts.scheme or name.startswith("/data/"):
        name = name.rpartition("/")[2]
    return [*dict.fromkeys([name, plain])]


def _fits(value):
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(one, dict)
            and isinstance(one.get("data"), dict)
            and {"annotations", "completions"} & one.keys()
            for one in value
        )
    )


LAYOUT = Layout(
    name="label_studio",
    what="Label Studio's JSON",
    endings=(".json",),
    entries=_entries,
    fits=_fits,
    base=0.5,
)
