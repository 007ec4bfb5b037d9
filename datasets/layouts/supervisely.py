"""Supervisely (developer.supervisely.com, "Annotation JSON format", objects of the type "graph").

There is a JSON file for each photo, `ann/me.jpg.json` for `img/me.jpg`, and the project's
`meta.json`. Each object of `geometryType` "graph" is a face, its `nodes` are points. Their names
are those that `meta.json` gives the nodes of the class, else the nodes' own keys. A disabled node
is hidden. A rectangle around the points is the face's box. Coordinates count from the photo's edge;
whole numbers are pixels, as the SDK rounds down.
"""

import numpy as np

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, between, box_of, numbers, size_of
from jaxalign.errors import InputError
from jaxalign.texts import json_of, read


META = "meta.json"


def _entries(path, stored, asked):
    root = asked.folder.root
    if not isinstance(stored["objects"], list):
        raise InputError(f"{path}: its objects are no list; export it again")
    objects = [one for one in stored["objects"] if isinstance(one, dict)]
    graphs = [(n, one) for n, one in enumerate(objects) if one.get("geometryType") == "graph"]
    faces, labels = [], _labels(path, root) if graphs else {}
    for number, one in graphs:
        kind = str(one.get("classTitle"))
        if asked.label and kind != asked.label:
            case = f"{path.name}, object {number}: {kind}"
            faces.append((f"object {number}", Remark("annotations of other labels", case)))
        else:
            faces.append((f"object {number}", one))

    def parse(where, one):
        if isinstance(one, Remark):
            return one
        nodes, names = one.get("nodes"), labels.get(str(one.get("classTitle")), {})
        nodes = nodes if isinstance(nodes, dict) else {}
        places = [node.get("loc") if isinstance(node, dict) else None for node in nodes.values()]
        if not nodes:
            raise ValueError("it has no nodes")
        places = numbers(places, (len(nodes), 2))
        shift = 0.5 if (places == np.round(places)).all() else 0.0  # the middle of those pixels
        named = [
            Point(str(names.get(key, key)), x + shift, y + shift, nodes[key].get("disabled") is not
                  True)
            for key, (x, y) in zip(nodes, places.tolist(), strict=True)
        ]  # fmt: skip
        boxes = [(number, _rectangle(other)) for number, other in enumerate(objects)
                 if other.get("geometryType") == "rectangle"]  # fmt: skip
        size = stored.get("size") if isinstance(stored.get("size"), dict) else {}
        return Row(
            path, where, path.stem, named=named, box=box_of(None, boxes, named, ()),
            size=size_of(size.get("width"), size.get("height")),
            folder=asked.folder.start(path), names=(f"../img/{path.stem}",),
        )  # fmt: skip

    empty = Remark("photos without a face", f"{path.name}: none of its objects is a graph")
    return faces or [("objects", empty)], parse


def _labels(path, root):
    """Class -> node's key -> its name, from the nearest meta.json above; {} where there is none."""
    folder = path.parent
    while not (folder / META).is_file():
        if folder in (root, folder.parent):
            return {}
        folder = folder.parent
    held = json_of(read(folder / META), folder / META)
    classes = held.get("classes") if isinstance(held, dict) else None
    found = {}
    for one in classes if isinstance(classes, list) else []:
        config = one.get("geometry_config") if isinstance(one, dict) else None
        nodes = config.get("nodes") if isinstance(config, dict) else None
        if isinstance(nodes, dict):
            found[str(one.get("title"))] = {
                key: node["label"]
                for key, node in nodes.items()
                if isinstance(node, dict) and isinstance(node.get("label"), str)
            }
    return found


def _rectangle(other):
    points = other.get("points")
    return between(points.get("exterior") if isinstance(points, dict) else None)


LAYOUT = Layout(
    name="supervisely",
    what="Supervisely's JSON",
    endings=(".json",),
    entries=_entries,
    fits=lambda value: isinstance(value, dict) and {"objects", "size"} <= value.keys(),
    base=0.5,
    beside=True,
    aside=(META, "key_id_map.json", "obj_class_to_machine_color.json"),
)
