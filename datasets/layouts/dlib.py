"""The XML of dlib's imglab (dlib 19, dlib/data_io/image_dataset_metadata).

One file of `dataset/images/image` holds each photo with its `box`es, and their `part`s with name, x
and y. A box is a face; parts have names such as "00", numbers from 0, or the scheme's names. A box
to be ignored, and one without parts, is no face. Coordinates are pixels, counted from 0.
"""

from jaxalign.datasets.faces import Remark
from jaxalign.datasets.layouts.rows import Layout, Point, Row, corners, numbers


def _entries(path, root, asked):
    faces = []
    for image in root.iter("image"):
        where, boxes = f"image {image.get('file')}", image.findall("box")
        for number, box in enumerate(boxes, 1):
            faces.append((where if len(boxes) == 1 else f"{where}, box {number}", (image, box)))
        if not boxes:
            faces.append((where, (image, None)))

    def parse(where, entry):
        image, box = entry
        photo = image.get("file")
        if not photo:
            raise ValueError("its image names no file")
        if box is None:
            return Remark("photos without a face", f"{photo} of {path.name}")
        kind, parts = box.findtext("label", "").strip(), box.findall("part")
        if asked.label and kind != asked.label:
            return Remark("annotations of other labels", f"{path.name}, {where}: {kind}")
        if box.get("ignore") == "1" or not parts:
            what = "to be ignored" if box.get("ignore") == "1" else "without parts"
            return Remark("boxes that are no faces", f"{path.name}, {where}: {what}")
        places = numbers([[part.get("x"), part.get("y")] for part in parts], (len(parts), 2))
        named = [
            Point(part.get("name", ""), x, y)
            for part, (x, y) in zip(parts, places.tolist(), strict=True)
        ]
        around = corners([box.get(key) for key in ("left", "top", "width", "height")])
        around[2:] -= 1  # dlib's last pixel
        return Row(path, where, photo, named=named, box=around)

    return faces, parse


LAYOUT = Layout(
    name="dlib",
    what="dlib's XML",
    endings=(".xml",),
    entries=_entries,
    fits=lambda root: root.tag == "dataset" and root.find("images") is not None,
)
