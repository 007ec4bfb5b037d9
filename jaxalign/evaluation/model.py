"""A model on annotated faces: its points beside the true ones."""

from collections.abc import Sequence

from jaxalign.evaluation.results import Results
from jaxalign.evaluation.truth import truth_of
from jaxalign.pipeline import Crop
from jaxalign.prediction.predictor import Predictor, predict_faces


def predict_source(
    predictor: Predictor, variables: dict, source: Sequence, crop: Crop, **options
) -> Results:
    """All faces of `source`, in its order. `options` are those of predict_faces."""
    truth = truth_of(source, "the source", predictor.system.points)
    return truth.with_predictions(*predict_faces(predictor, variables, source, crop, **options))
