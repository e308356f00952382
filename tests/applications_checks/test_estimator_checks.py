"""scikit-learn's own checks of the estimators. (Those of `Embedder`: tests/test_embedder.py.)"""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from keras_vae.applications import AnomalyDetector, Imputer, Synthesizer

pytestmark = pytest.mark.usefixtures("untraced")

SMALL = {"epochs": 1, "hidden": (8,), "latent_dim": 2, "batch_size": 256}

# One check sets `contamination`, which fits twice.
DETECTOR = AnomalyDetector(**SMALL, num_samples=4, false_positive_rate=0.5)
TABLES = (
    Imputer(**SMALL, num_samples=2, num_imputation_samples=8),
    Synthesizer(**SMALL, num_components=2),
)
# Of what these share with the detector, and several fits each.
SHOWN_BY_THE_DETECTOR = {
    "check_array_api_input", "check_dtype_object", "check_estimators_dtypes", "check_fit_score_takes_y",
    "check_pipeline_consistency", "check_readonly_memmap_input", "check_transformer_data_not_an_array",
}  # fmt: skip


@parametrize_with_checks([DETECTOR])
def test_detectors(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}")
        for table in TABLES
        for estimator, check in estimator_checks_generator(table)
        if check.func.__name__ not in SHOWN_BY_THE_DETECTOR and not check.keywords
    ],
)
def test_estimators_of_tables(estimator, check):
    check(estimator)
