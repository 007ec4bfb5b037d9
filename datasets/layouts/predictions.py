"""`faces.json` of `jaxalign predict`, as labels to correct or to train on.

Faces of low confidence, photos without a face, and photos that could not be read are left out.
"""

import os

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Row, numbers, size_of
from jaxalign.errors import InputError
from jaxalign.records import is_predicted, predicted_photos


def _entries(path, held, asked):
    count, scheme = asked.scheme.num_points, held["scheme"]
    records = predicted_photos(held, path)
    if scheme != asked.scheme.name:
        raise InputError(
            f"{path}: its points are of {scheme}, not {asked.scheme.name}; say --set "
            f"scheme={scheme}, or predict with --scheme {asked.scheme.name}"
        )
    faces = []
    for record in records:
        photo, found = record["photo"], record.get("faces") or []
        for number, face in enumerate(found, 1):
            where = f"photo {photo}" + (f", face {number}" if len(found) > 1 else "")
            faces.append((where, (record, face)))
        if not found:
            faces.append((f"photo {photo}", (record, None)))

    def parse(where, entry):
        record, face = entry
        photo = record["photo"]
        if face is None:
            told = f"{photo} of {path.name}: {record.get('status')}"
            return Remark("photos without a face", told)
        if face.get("status") != "ok":
            case = f"{path.name}, {where}: {face.get('status')}"
            return Remark("faces of low confidence, which are left out", case)
        return Row(
            path, where, photo, numbers(face.get("points"), (count, 2)),
            box=numbers(face.get("box"), (4,)), names=(os.path.abspath(photo),),
            size=size_of(record.get("width"), record.get("height")),
        )  # fmt: skip

    return faces, parse


LAYOUT = Layout(
    name="predictions",
    what="jaxalign's predictions",
    endings=(".json",),
    entries=_entries,
    fits=is_predicted,
)
