"""One training step of each phase at the papers' size. Too slow for every day: pytest -m slow."""

import json
import math

import jax
import numpy as np
import pytest

from jaxalign import recipe as recipes
from jaxalign.datasets.synthetic_faces import face
from jaxalign.geometry import landmark_box
from jaxalign.training.loop import Run


pytestmark = pytest.mark.slow


def sample(scheme, index):
    drawn = face("train", index, 256, 0)
    points = drawn.points[scheme]
    return {
        "id": drawn.id,
        "photo": drawn.photo,
        "points": points,
        "labelled": np.ones(len(points), bool),
        "visible": drawn.visible[scheme],
        "attributes": drawn.attributes,
        "boxes": drawn.boxes | {"landmarks": landmark_box(points)},
    }


@pytest.mark.parametrize(
    "config",
    [
        "fan_ibug_300w",
        "gv_resnet50_wflw",
        "gv_hrnet_wflw",
        "tab_wflw",
        "propnet_wflw",
        "pixelwise_ibug_300w",
        "attention_ibug_300w",
    ],
)
def test_a_step_is_finite(config, tmp_path):
    recipe = recipes.load(config)
    one = [f"system.{name}=1" for name in vars(recipe.system) if name.endswith("epochs")]
    batch = max(2, jax.local_device_count())
    settings = [f"training.batch={batch}", "training.log_steps=1", "training.patience=0", *one]
    recipe = recipes.override(recipe, settings)
    faces = [sample(recipe.system.scheme, index) for index in range(batch)]
    run = Run(recipe, faces, [], tmp_path)
    run.run()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["phase"] for row in rows] == [phase.name for phase in recipe.system.phases]
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)
