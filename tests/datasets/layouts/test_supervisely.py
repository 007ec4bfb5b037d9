"""Supervisely's JSON of graphs, a file for each photo, and the project's meta.json."""

import json

import numpy as np
import pytest

from jaxalign.schemes import COFW29
from tests.datasets.layouts.helpers import POINTS, good, photo, reasons, remarks, same
from tests.helpers.trees import SIDE


KEYS = [f"8e20c830-ee86-450f-9d21-{i:012}" for i in range(29)]


def graph(points, keys=KEYS, title="face", hidden=()):
    nodes = {
        key: {"loc": np.asarray(point).tolist()} | ({"disabled": True} if i in hidden else {})
        for i, (key, point) in enumerate(zip(keys, points, strict=True))
    }
    return {
        "id": 503055304,
        "classId": 1693357,
        "description": "",
        "geometryType": "graph",
        "labelerLogin": "me",
        "tags": [],
        "classTitle": title,
        "nodes": nodes,
    }


def write(root, name, *objects, names=COFW29.names):
    photo(root / "day/img" / name)
    held = {"description": "", "tags": [], "size": {"height": SIDE, "width": SIDE}}
    path = root / f"day/ann/{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held | {"objects": objects}))
    nodes = {key: {"label": n, "loc": [1, 2], "color": "#ff0000"}
             for key, n in zip(KEYS, names, strict=True)}  # fmt: skip
    one = {"title": "face", "shape": "graph", "geometry_config": {"nodes": nodes, "edges": []}}
    (root / "meta.json").write_text(json.dumps({"classes": [one], "tags": []}))


@pytest.mark.parametrize("names", [range(29), range(1, 30), COFW29.names])
def test_graphs_named_by_meta(tmp_path, names):
    box = {"geometryType": "rectangle", "points": {"exterior": [[4.5, 5.5], [58.5, 60.5]]}}
    write(tmp_path, "a.jpg", graph(POINTS + 0.5, hidden=(4,)), box, names=[*map(str, names)])
    write(tmp_path, "b.png", graph(np.round(POINTS)), names=[*map(str, names)])
    one, two = good(tmp_path)
    same(one)
    same(two, np.round(POINTS))
    assert (one.photo, two.photo) == (tmp_path / "day/img/a.jpg", tmp_path / "day/img/b.png")
    assert np.flatnonzero(~one.visible["cofw29"]).tolist() == [4]
    np.testing.assert_array_equal(one.boxes["dataset"], [4, 5, 58, 60])


def test_nodes_that_are_numbered(tmp_path):
    write(tmp_path, "a.jpg", graph(POINTS[1:] + 0.5, [*map(str, range(1, 29))], "other"))
    write(tmp_path, "b.jpg", graph(POINTS + 0.5, [*map(str, range(29))], "other"))
    (tmp_path / "meta.json").unlink()
    one, two = good(tmp_path)
    same(one, labelled=np.arange(29) > 0)
    same(two)


def test_what_is_told_and_what_is_refused(tmp_path):
    write(tmp_path, "a.jpg", graph(POINTS + 0.5), graph(POINTS, title="cat"))
    write(tmp_path, "b.jpg")
    assert remarks(tmp_path, label="face") == [
        ("annotations of other labels", "a.jpg.json, object 1: cat"),
        ("photos without a face", "b.jpg.json: none of its objects is a graph"),
    ]
    (reason,) = reasons(tmp_path)
    assert reason.startswith("object 1: its point '8e20c830-ee86-450f-9d21-000000000000' is none")
    write(tmp_path, "a.jpg", graph(POINTS) | {"nodes": {}})
    assert reasons(tmp_path) == ["object 0: it has no nodes (read as Supervisely's JSON)"]
    (tmp_path / "day/ann/a.jpg.json").write_text("{")
    (reason,) = reasons(tmp_path)
    assert "line 1: not JSON" in reason
