"""iBUG's `.pts` files (version 1), one beside each photo, as in 300W: counted from 1.

A further face of a photo is `me.face2.pts`. The files may also lie in a folder of their own, which
the option --labels names, or below the photos'; they then find the photos by their names.
"""

import re

from jaxalign.datasets.faces import Bad
from jaxalign.datasets.formats import read_pts
from jaxalign.datasets.layouts.rows import Layout, Row


def _entries(path, document, asked):
    root = asked.folder.root
    among = path.is_relative_to(root)
    name = path.relative_to(root).with_suffix("").as_posix() if among else path.stem
    photo = re.sub(r"\.face\d+$", "", path.stem)
    found = asked.folder.beside(path) or asked.folder.beside(path.with_name(f"{photo}.pts"))
    if not found and not (among and path.parent == root):
        found = asked.folder.called(photo)

    def parse(where, found):
        if len(found) != 1:
            reason = "there is no photo (.jpg, .png, .webp, ...) beside it"
            if found:
                names = " and ".join(photo.name for photo in found)
                reason = f"there are several photos beside it, {names}; leave one"
            return Bad(name, path, reason)
        points = read_pts(path, asked.scheme.num_points, base=0)
        return Row(path, where, found[0].relative_to(root).as_posix(), points, id=name)

    return [("points", found)], parse


LAYOUT = Layout(
    name="pts",
    what="iBUG's .pts",
    endings=(".pts",),
    entries=_entries,
    base=1,
    beside=True,
)
