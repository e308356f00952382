"""scikit-learn's own checks of an outlier detector."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from keras_vae.applications import AnomalyDetector

# One check sets `contamination`, which fits twice.
DETECTOR = AnomalyDetector(
    epochs=1, hidden=(8,), latent_dim=2, num_samples=4, false_positive_rate=0.5, batch_size=256
)


@pytest.mark.usefixtures("untraced")
@parametrize_with_checks([DETECTOR])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
