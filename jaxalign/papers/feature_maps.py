"""What a network sees in faces: feature maps beside the crops (TAB, Fig. 5)."""

from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure as Picture

from jaxalign.errors import InputError
from jaxalign.evaluation.tables import write_rows
from jaxalign.papers import Figure
from jaxalign.pipeline import crop_face


FACES, CHANNELS = 4, 4


def draw(figure: Figure, work, path: Path) -> None:
    """Draw feature maps of the first FACES faces of the figure's data, a row each.

    A row has the crop, the mean over the channels of the features' absolute values, and the
    CHANNELS channels that vary most over these faces. A CSV beside it holds each map's least and
    greatest value.

    The features are (B, h, w, C). The system's method of the column's name gives them; InputError
    is raised if the system has no such method.
    """
    model, name = work.opened(figure.rows[0], figure), figure.columns[0].statistic
    system, source = model.system, model.source
    if not hasattr(system, name):
        raise InputError(f"{type(system).__name__} has no {name} to draw; give a model that has")
    faces = [source[index] for index in range(min(FACES, len(source)))]
    crop = model.recipe.data.crop
    crops = [crop_face(face, system.points, crop, system.size)["image"] for face in faces]
    features = jax.jit(getattr(system, name))(model.variables, np.stack(crops))
    features = np.asarray(features, np.float32)
    chosen = np.argsort(-features.std((0, 1, 2)), kind="stable")[:CHANNELS]
    maps = {"mean": abs(features).mean(-1)} | {f"channel {c}": features[..., c] for c in chosen}
    picture = Picture(
        figsize=(1.6 * (1 + len(maps)), 1.6 * len(faces) + 0.3), dpi=150, layout="constrained"
    )
    panels = picture.subplots(len(faces), 1 + len(maps), squeeze=False)
    rows = [["face", "map", "least", "greatest"]]
    for line, face, image, index in zip(panels, faces, crops, range(len(faces)), strict=True):
        line[0].imshow(image)
        for axes, (head, values) in zip(line[1:], maps.items(), strict=True):
            axes.imshow(values[index], vmin=values.min(), vmax=values.max())
            ends = (f"{end:.6g}" for end in (values[index].min(), values[index].max()))
            rows.append([face["id"], head, *ends])
    for axes, head in zip(panels[0], ["crop", *maps], strict=True):
        axes.set_title(head, fontsize=8)
    for axes in panels.flat:
        axes.set_axis_off()
    picture.savefig(path)
    write_rows(path.with_suffix(".csv"), rows)
