import dataclasses
import math

import numpy as np
import tensorflow as tf
from rich.progress import track

from keras_vae._parts import check_count
from keras_vae.evaluation._batches import Digest, batches_of, padded
from keras_vae.evaluation.estimate import Estimate, log_mean_variance
from keras_vae.models import LatentVariableModel, need_model, x_of
from keras_vae.noise import as_seed, threefry

_ROWS_PER_PASS = 10_000  # decoded at once
_NUMBERS_PER_PASS = 2**24  # in the decoder's widest layer: what bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogLikelihood(Estimate):
    """An importance-sampled estimate of log p(x) over a data set.

    Attributes:
        num_samples: number of importance samples per example, k. The estimate is a lower bound in
            expectation that rises with k, so two values are comparable at one k only.
    """

    num_samples: int

    @property
    def settings(self):
        return {"k": self.num_samples}


def log_likelihood(
    model: LatentVariableModel,
    data,
    num_samples: int = 5000,
    *,
    seed=0,
    batch_size: int = 100,
    progress: bool = True,
) -> LogLikelihood:
    """Estimates log p(x) by importance sampling from the posterior.

        log p(x) ~ log (1/k) sum_j p(x|z_j) p(z_j) / q(z_j|x),    z_j ~ q(z|x)

    Samples are decoded in chunks whose size does not grow with k or with the data, so neither does
    the memory. The model's own draws are left alone; the same seed and batch size give the same
    numbers.

    Args:
        model: any model of this package.
        data: a finite `tf.data.Dataset` of batches, an array [N, *event], or a dict of arrays.
        num_samples: importance samples per example, k.
        seed: integer or pair of 32-bit integers.
        batch_size: examples per pass, or fewer where the decoder is very wide; data sets are
            re-batched to it.
        progress: whether to show a progress bar.

    Returns:
        A `LogLikelihood`.

    Raises:
        ValueError: for empty or endless data, and for data that do not fit the model.

    References:
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519,
        section 5.
    """
    need_model(model, "log_likelihood")
    check_count("log_likelihood", num_samples=num_samples, batch_size=batch_size)
    model.posterior.need_density()
    rows = max(1, min(_ROWS_PER_PASS, _NUMBERS_PER_PASS // model.widest_layer))
    batch_size = min(batch_size, rows)
    num_chunks = math.ceil(num_samples * batch_size / rows)
    chunk_size = math.ceil(num_samples / num_chunks)
    num_chunks = math.ceil(num_samples / chunk_size)
    key = as_seed(seed)

    @tf.function(reduce_retracing=True)  # XLA would take longer to compile than it saves
    def log_sums(batch, batch_number, chunk):
        """Log sum w and log sum w^2 over one chunk of samples, [B] each."""
        chunk_seed = tf.stack(threefry(key, batch_number, chunk))
        log_w = model.log_weights(batch, chunk_size, seed=chunk_seed)
        counted = chunk * chunk_size + tf.range(chunk_size) < num_samples
        log_w = tf.where(counted[:, tf.newaxis], log_w, -math.inf)
        return tf.reduce_logsumexp(log_w, axis=0), tf.reduce_logsumexp(2.0 * log_w, axis=0)

    means, variances, num_dimensions, digest = [], [], 1, Digest()
    batches, num_batches = batches_of(data, batch_size)
    if progress:
        batches = track(batches, description="log p(x)", total=num_batches)
    for number, batch in enumerate(batches):
        model.check_batch(batch)
        x = x_of(batch)
        num_dimensions, num_rows = math.prod(x.shape[1:]), len(x)
        full = padded(batch, batch_size)
        chunks = [
            log_sums(full, tf.constant(number), tf.constant(chunk)) for chunk in range(num_chunks)
        ]
        log_sum_w, log_sum_w2 = (
            np.logaddexp.reduce(np.asarray(sums, np.float64), axis=0)[:num_rows]
            for sums in zip(*chunks, strict=True)
        )
        digest.update(batch)
        means.append(log_sum_w - math.log(num_samples))
        variances.append(log_mean_variance(log_sum_w, log_sum_w2, num_samples))
    if not means:
        raise ValueError("The data set is empty: there is nothing to estimate a likelihood of.")
    per_example, variance = np.concatenate(means), np.sum(np.concatenate(variances))
    return LogLikelihood(
        per_example=per_example,
        num_samples=num_samples,
        num_dimensions=num_dimensions,
        monte_carlo_error=float(np.sqrt(variance) / len(per_example)),
        measure=model.measure,
        is_exact=model.prior.is_exact,
        sha256=digest.hexdigest(),
    )
