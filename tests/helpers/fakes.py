"""Made-up faces that have been evaluated."""

import numpy as np

from jaxalign.evaluation.results import Results
from jaxalign.protocols import protocol_for
from jaxalign.schemes import IBUG68


PROTOCOL = protocol_for("ibug_300w", IBUG68)
CHALLENGING, COMMON = ("challenging", "full"), ("lfpw_test", "common", "full")


def fake(faces=12, scheme=IBUG68, seed=0, size=0.03, subsets=None):
    """Random faces about 100 pixels wide, with errors of about `size` of that."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(10, 110, (faces, scheme.num_points, 2))
    truth[:, scheme.eye_corners[0]], truth[:, scheme.eye_corners[1]] = (30, 40), (90, 40)
    levels = size * generator.lognormal(0, 0.5, (faces, 1, 1))
    visible = np.ones(truth.shape[:2], bool)
    visible[0, 3:5] = False
    return Results(
        ids=[f"face_{i:03}" for i in range(faces)],
        predicted=truth + 100 * levels * generator.normal(size=truth.shape),
        truth=truth,
        score=generator.random(truth.shape[:2]),
        visible=visible,
        subsets=subsets or [COMMON] * faces,
        scheme=scheme,
    )


def crops(index):
    return np.full((128, 128, 3), 90, np.uint8), np.array([[1.0, 0, 4], [0, 1.0, 4]])


def rows_of(summary):
    return {row["subset"]: row for row in summary["rows"]}
