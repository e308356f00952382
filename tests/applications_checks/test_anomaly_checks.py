"""scikit-learn's own checks of an outlier detector."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from keras_vae.applications import AnomalyDetector

DETECTOR = AnomalyDetector(
    epochs=1, hidden=(8,), latent_dim=2, num_samples=4, contamination=0.1, batch_size=256
)


@parametrize_with_checks([DETECTOR])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
