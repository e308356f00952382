"""A score made ready for data of any size."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count, check_known
from keras_vae.applications.scores import SCORES, Score, Statistics, in_chunks
from keras_vae.models import VAE
from keras_vae.noise import as_seed, normals


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AnomalyScore:
    """A score of a model, ready for any data: `fit` makes it.

    Attributes:
        vae: the model.
        name: of the score, in `SCORES`.
        num_samples: draws of z per example, K.
        seed: of those draws, which every row shares.
        statistics: what the score knows of normal data.
    """

    vae: VAE
    name: str = "elbo"
    num_samples: int = 32
    seed: int = 0
    statistics: Statistics = dataclasses.field(default_factory=dict)

    @classmethod
    def fit(
        cls, vae: VAE, normal, score="elbo", *, num_samples: int = 32, seed=0
    ) -> "AnomalyScore":
        """Learns what the score has to know of normal data.

        Args:
            vae: the trained model.
            normal: what it was trained on: array [N, *event], or a dict of arrays.
            score: a name in `SCORES`.
            num_samples: draws of z per example, K.
            seed: integer or pair of 32-bit integers.
        """
        check_known("score", score, SCORES)
        check_count("AnomalyScore", num_samples=num_samples)
        blank = cls(vae=vae, name=score, num_samples=num_samples, seed=seed)
        statistics = SCORES[score].statistics(vae, normal, blank.noise)
        return dataclasses.replace(blank, statistics=statistics)

    @property
    def noise(self) -> np.ndarray:
        """Standard normals [num_samples, noise_size]."""
        return self.noise_of(as_seed(self.seed)).numpy()

    def noise_of(self, seed: tf.Tensor) -> tf.Tensor:
        """Those of another seed, int32 [2]."""
        return normals(seed, self.num_samples, self.vae.inference_noise_size)

    def of_batch(self, batch, noise: tf.Tensor) -> tf.Tensor:
        """The score of every row of a batch of tensors, float32 [B]: what is exported."""
        return SCORES[self.name](self.vae, batch, noise, self.statistics)

    def __call__(self, x) -> np.ndarray:
        """The score of every example, float64 [N].

        Args:
            x: array [N, *event], or a dict of arrays.
        """
        return self._scores(x).astype(np.float64)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_scores"}

    @functools.cached_property
    def _scores(self):
        return functools.partial(in_chunks, self.vae, tf.function(self.of_batch), noise=self.noise)


def anomaly_scores(
    vae: VAE, x, score: str = "elbo", *, normal=None, num_samples: int = 32, seed=0
) -> np.ndarray:
    """How anomalous examples are to a model.

        "elbo"               negative evidence lower bound, nats
        "log_likelihood"     -log p(x) by importance sampling, nats
        "reconstruction"     -E_q log p(x|z), nats
        "relative_error"     squared error of the reconstruction, relative to the signal's size
        "latent_distance"    Mahalanobis distance of the posterior's location from normal data's
        "likelihood_regret"  gain of the bound by the best posterior for the example, nats
        "typicality"         distance of -log p(x) from its mean over normal data, nats

    Args:
        vae: the trained model.
        x: array [N, *event], or a dict of arrays.
        score: see above.
        normal: normal examples, like x; "latent_distance" and "typicality" need them.
        num_samples: draws of z per example, K.
        seed: integer or pair of 32-bit integers.

    Returns:
        float64 [N], higher = more anomalous; a function of the example and the seed alone.

    Raises:
        ValueError: for an unknown score, data that do not fit the model, and missing normal data.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> vae = VAE(*networks.mlp(8, latent_dim=2, hidden=16), likelihood=likelihoods.Bernoulli())
        >>> anomaly_scores(vae, np.eye(8)[:3]).shape
        (3,)
    """
    check_known("score", score, SCORES)
    if normal is None and type(SCORES[score]).statistics is not Score.statistics:
        raise ValueError(
            f"The score {score!r} compares with normal data. Expected normal=..., the examples that the "
            "model was trained on. Received none."
        )
    return AnomalyScore.fit(vae, normal, score, num_samples=num_samples, seed=seed)(x)


def attributions(vae: VAE, x, *, num_samples: int = 32, seed=0) -> np.ndarray:
    """What each element of an example adds to its reconstruction score: a heat map for an image.

        -E_q(z|x) log p(x_i|z)    per element i, nats

    Summed over the elements, it is the score "reconstruction" for the same seed. An element that a
    mask hides adds nothing.

    Args:
        vae: the trained model.
        x: array [N, *event], or a dict of arrays.
        num_samples: draws of z per example.
        seed: integer or pair of 32-bit integers.

    Returns:
        float32 [N, *event].
    """
    check_count("attributions", num_samples=num_samples)

    def surprise(batch, noise):
        _, z = vae.infer_from(batch, noise[:, tf.newaxis])
        entries = batch if isinstance(batch, dict) else {"x": batch}
        log_prob = vae.now(vae.likelihood).log_prob_by_element(
            vae.decode_params(z, batch), entries["x"], entries.get("mask")
        )
        return -tf.reduce_mean(log_prob, axis=0)

    noise = AnomalyScore(vae=vae, num_samples=num_samples, seed=seed).noise
    return in_chunks(vae, tf.function(surprise), x, noise)
