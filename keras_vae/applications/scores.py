"""How unlike the training data an example is: scores of a VAE, the higher the more anomalous.

A score is a function of the example alone. The same K draws of noise serve every row, so neither the
other rows of a call, nor their order, nor how many are computed at a time changes a number.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count, check_positive
from keras_vae.estimators import importance_weighted_bound, kl_divergence
from keras_vae.models import VAE

Statistics: TypeAlias = dict[str, Any]  # arrays and numbers of NumPy's


_ROWS = 256  # at once; every pass has as many, padded, so that a row meets the same arithmetic


_NUMBERS_PER_PASS = 2**23  # in the decoder's widest layer: what bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(abc.ABC):
    """What is computed for an example, from the model, noise and statistics of normal data."""

    @abc.abstractmethod
    def __call__(
        self, vae: VAE, batch, noise: tf.Tensor, statistics: Mapping[str, Any]
    ) -> tf.Tensor:
        """The score of every row, float32 [B], in ops that can be exported where it says so.

        Args:
            vae: the model.
            batch: tensor [B, *event], or a dict of tensors.
            noise: standard normals [K, posterior.noise_size], the same for every row.
            statistics: what `statistics` gave.
        """

    def statistics(self, vae: VAE, normal, noise: np.ndarray) -> Statistics:
        """What the score has to know of normal data, as plain arrays; most need nothing."""
        return {}


class Elbo(Score):
    """The negative evidence lower bound, E_q[-log p(x|z)] + KL(q(z|x) || p(z)), in nats.

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """

    def __call__(self, vae, batch, noise, statistics):
        return _negative_elbo(vae, batch, vae.encode(batch), noise)


class LogLikelihood(Score):
    """-log p(x), estimated by importance sampling from the posterior, in nats.

        -log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x)

    References:
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519.
    """

    def __call__(self, vae, batch, noise, statistics):
        q, z = vae.infer_from(batch, noise[:, tf.newaxis])
        return -importance_weighted_bound(vae.log_weights_of(batch, q, z))


class Reconstruction(Score):
    """The negative reconstruction probability, E_q[-log p(x|z)], in nats.

    References:
        An and Cho, Variational Autoencoder based Anomaly Detection using Reconstruction
        Probability, SNU Data Mining Center, 2015.
    """

    def __call__(self, vae, batch, noise, statistics):
        _, z = vae.infer_from(batch, noise[:, tf.newaxis])
        return -tf.reduce_mean(vae.log_likelihood(batch, z), axis=0)


class LatentDistance(Score):
    """The Mahalanobis distance of the posterior's location from those of normal data.

        sqrt((mu(x) - m)' S^-1 (mu(x) - m)),    m, S: mean and (Ledoit-Wolf) covariance of mu

    References:
        Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and
        Adversarial Attacks, 2018, arXiv:1807.03888.
    """

    def statistics(self, vae, normal, noise):
        from sklearn.covariance import LedoitWolf

        fitted = LedoitWolf().fit(vae.embed(normal).astype(np.float64))
        whitening = np.linalg.cholesky(np.asarray(fitted.get_precision()))
        return {
            "mean": fitted.location_.astype(np.float32),
            "whitening": whitening.astype(np.float32),
        }

    def __call__(self, vae, batch, noise, statistics):
        z = vae.now(vae.posterior).location(vae.encode(batch))
        white = tf.matmul(z - statistics["mean"], statistics["whitening"])
        return tf.sqrt(tf.reduce_sum(white**2, axis=-1))


class Typicality(Score):
    """How far -log p(x) is from its mean over normal data, on either side, in nats.

        |-log p(x) - mean of -log p over normal data|

    What is too likely is anomalous too, as a blank image among photographs.

    References:
        Nalisnick et al., Detecting Out-of-Distribution Inputs to Deep Generative Models Using
        Typicality, 2019, arXiv:1906.02994.
    """

    def statistics(self, vae, normal, noise):
        score = functools.partial(LogLikelihood(), vae, statistics={})
        return {"mean": np.float32(np.mean(in_chunks(vae, score, normal, noise)))}

    def __call__(self, vae, batch, noise, statistics):
        return tf.abs(LogLikelihood()(vae, batch, noise, {}) - statistics["mean"])


class RelativeError(Score):
    """The squared error of the reconstruction, relative to the amount of signal in the example.

        E_q |x - mean of p(x|z)|^2 / |x|

    Where errors grow with the signal, as along the strokes of a drawing, a squared error mostly says
    how much of it there is, and what has little passes for normal. The square of an error that is a
    sum over |x|^2 elements spreads as |x|: this is the error in units of that. For values whose zero
    means "nothing", such as grey levels on black.
    """

    def __call__(self, vae, batch, noise, statistics):
        _, z = vae.infer_from(batch, noise[:, tf.newaxis])
        shown = vae.now(vae.likelihood).location(vae.decode_params(z, batch))
        x, observed = _values(batch)
        axes = list(range(1, len(x.shape)))
        error = tf.reduce_mean(tf.where(observed, (shown - x) ** 2, 0.0), axis=0)
        signal = tf.reduce_sum(tf.where(observed, x**2, 0.0), axis=axes)
        return tf.reduce_sum(error, axis=axes) / tf.sqrt(signal + 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodRegret(Score):
    """By how much the bound would be better with the best posterior for this example, in nats.

        max_params ELBO(x; params) - ELBO(x; encoder(x)) >= 0

    The encoder serves what it was trained on well, and what it has never seen badly. The posterior's
    parameters of every example are improved by Adam, the decoder as it is. The dearest score: as
    many passes through the decoder and back as there are steps.

    Args:
        steps: of Adam.
        learning_rate: of Adam, in units of the posterior's parameters.

    References:
        Xiao, Yan and Amit, Likelihood Regret: An Out-of-Distribution Detection Score For Variational
        Auto-encoder, 2020, arXiv:2003.02977.
    """

    steps: int = 100
    learning_rate: float = 0.1

    def __post_init__(self):
        check_count("LikelihoodRegret", steps=self.steps)
        check_positive("LikelihoodRegret", learning_rate=self.learning_rate)

    def __call__(self, vae, batch, noise, statistics):
        params = tf.cast(vae.encode(batch), tf.float32)
        start = best = _negative_elbo(vae, batch, params, noise)
        mean, square = tf.zeros_like(params), tf.zeros_like(params)
        for step in tf.range(1, self.steps + 1):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(params)
                value = _negative_elbo(vae, batch, params, noise)
            best = tf.minimum(best, value)
            gradient = tf.convert_to_tensor(tape.gradient(value, params))
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            count = tf.cast(step, tf.float32)
            unbiased = tf.sqrt(square / (1.0 - 0.999**count)) + 1e-7
            params -= self.learning_rate * mean / (1.0 - 0.9**count) / unbiased
        return start - tf.minimum(best, _negative_elbo(vae, batch, params, noise))


SCORES: dict[str, Score] = {
    "elbo": Elbo(),
    "log_likelihood": LogLikelihood(),
    "reconstruction": Reconstruction(),
    "relative_error": RelativeError(),
    "latent_distance": LatentDistance(),
    "likelihood_regret": LikelihoodRegret(),
    "typicality": Typicality(),
}
"""Scores by name."""


def _values(batch) -> tuple[tf.Tensor, tf.Tensor]:
    """x, zero where a mask hides it, and which of its elements are observed."""
    if not isinstance(batch, dict) or "mask" not in batch:
        x = tf.cast(batch["x"] if isinstance(batch, dict) else batch, tf.float32)
        return x, tf.ones_like(x, tf.bool)
    x = tf.cast(batch["x"], tf.float32)
    observed = tf.broadcast_to(tf.cast(batch["mask"], tf.bool), tf.shape(x))
    return tf.where(observed, x, 0.0), observed


def _negative_elbo(vae: VAE, batch, params: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """The bound of q of these parameters, [B]; its rate in closed form where there is one."""
    posterior = vae.now(vae.posterior)
    q, z = posterior.push_forward(params, noise[:, tf.newaxis])
    rate = kl_divergence(q, vae.prior_over(batch), z)
    return tf.reduce_mean(rate - vae.log_likelihood(batch, z), axis=0)


def in_chunks(vae: VAE, function: Callable[..., tf.Tensor], x, noise: np.ndarray) -> np.ndarray:
    """`function(batch, noise)` over the rows of x."""
    batch = {k: np.asarray(v) for k, v in x.items()} if isinstance(x, dict) else np.asarray(x)
    vae.check_batch(batch)
    most = max(1, _NUMBERS_PER_PASS // (len(noise) * vae.widest_layer))
    rows = min(_ROWS, 2 ** int(np.log2(most)))
    num_rows = len(batch["x"] if isinstance(batch, dict) else batch)

    def chunk(start):
        def of(array):
            part = array[start : start + rows]
            return tf.constant(
                np.pad(part, [(0, rows - len(part))] + [(0, 0)] * (array.ndim - 1), "edge")
            )

        return np.asarray(function(tf.nest.map_structure(of, batch), tf.constant(noise)))

    return np.concatenate([chunk(start) for start in range(0, num_rows, rows)])[:num_rows]
