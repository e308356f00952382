import dataclasses
import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from rich.progress import track

from keras_vae._parts import check_count
from keras_vae.models import LatentVariableModel, x_of
from keras_vae.noise import as_seed, threefry

_ROWS_PER_PASS = 10_000  # decoded at once
_NUMBERS_PER_PASS = 2**24  # in the decoder's widest layer: what bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogLikelihood:
    """An importance-sampled estimate of log p(x) over a data set.

    Attributes:
        per_example: log p(x) of every example, nats, float64 [N].
        num_samples: number of importance samples per example, k. The estimate is a lower bound in
            expectation that rises with k, so two values are comparable at one k only.
        num_dimensions: number of elements of x in one example.
        monte_carlo_error: standard error of `mean` that comes from k being finite, nats.
        is_exact: whether the prior's density is its own; under `priors.TwoStage` it is a bound, and so
            is then, however large k is, this estimate.
    """

    per_example: np.ndarray
    num_samples: int
    num_dimensions: int
    monte_carlo_error: float
    is_exact: bool = True

    @property
    def num_examples(self) -> int:
        return len(self.per_example)

    @property
    def mean(self) -> float:
        """Mean log p(x), nats per example."""
        return float(np.mean(self.per_example))

    @property
    def standard_error(self) -> float:
        """Standard error of `mean` over examples, nats; NaN for a single example."""
        if self.num_examples < 2:
            return math.nan
        return float(np.std(self.per_example, ddof=1) / math.sqrt(self.num_examples))

    @property
    def bits_per_dim(self) -> float:
        """-mean in bits per element of x; lower is better."""
        return -self.mean / (math.log(2.0) * self.num_dimensions)

    @property
    def bits_per_dim_standard_error(self) -> float:
        return self.standard_error / (math.log(2.0) * self.num_dimensions)

    def __str__(self):
        relation, note = (
            ("=", "") if self.is_exact else (">=", ", a bound: the prior's density is one")
        )
        return (
            f"log p(x) {relation} {self.mean:.2f} +- {self.standard_error:.2f} nats = {self.bits_per_dim:.4f} +- "
            f"{self.bits_per_dim_standard_error:.4f} bits/dim (k={self.num_samples}, {self.num_examples:,} "
            f"examples, Monte Carlo error {self.monte_carlo_error:.3f} nats{note})"
        )


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
    check_count("log_likelihood", num_samples=num_samples, batch_size=batch_size)
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

    means, variances, num_dimensions = [], [], 1
    batches, num_batches = _batches(data, batch_size)
    for number, batch in enumerate(_with_bar(batches, num_batches, progress)):
        model.check_batch(batch)
        x = x_of(batch)
        num_dimensions, num_rows = math.prod(x.shape[1:]), len(x)
        full = tf.nest.map_structure(lambda array: _padded(array, batch_size), batch)
        chunks = [
            log_sums(full, tf.constant(number), tf.constant(chunk)) for chunk in range(num_chunks)
        ]
        log_sum_w, log_sum_w2 = (
            np.logaddexp.reduce(np.asarray(sums, np.float64), axis=0)[:num_rows]
            for sums in zip(*chunks, strict=True)
        )
        means.append(log_sum_w - math.log(num_samples))
        # Delta method: var(log mean w) ~ var(w) / (k mean(w)^2) = (sum w^2 / (sum w)^2) - 1 / k.
        variances.append(np.maximum(np.exp(log_sum_w2 - 2.0 * log_sum_w) - 1.0 / num_samples, 0.0))
    if not means:
        raise ValueError("The data set is empty: there is nothing to estimate a likelihood of.")
    per_example = np.concatenate(means)
    return LogLikelihood(
        per_example=per_example,
        num_samples=num_samples,
        num_dimensions=num_dimensions,
        monte_carlo_error=float(np.sqrt(np.sum(np.concatenate(variances))) / len(per_example)),
        is_exact=model.prior.is_exact,
    )


def _batches(data, batch_size: int) -> tuple[Iterable, int | None]:
    """Batches of NumPy arrays, and how many there are where that is known."""
    if not isinstance(data, tf.data.Dataset):
        arrays = tf.nest.map_structure(np.asarray, data)
        lengths = [len(array) for array in tf.nest.flatten(arrays)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"The arrays of a dict need a row for every example. Received: {lengths} rows."
            )
        starts = range(0, lengths[0], batch_size)

        def rows(start):
            return tf.nest.map_structure(lambda array: array[start : start + batch_size], arrays)

        return map(rows, starts), len(starts)
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "The data have no end. Pass a finite data set: a validation or a test set, not train."
        )
    data = data.map(
        lambda *batch: keras.utils.unpack_x_y_sample_weight(batch[0] if len(batch) == 1 else batch)[
            0
        ]
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # the tuner stalls the end of a pass
    data = data.unbatch().batch(batch_size).with_options(options)
    return data.as_numpy_iterator(), None


def _padded(array: np.ndarray, num_rows: int) -> np.ndarray:
    """The last batch filled up with copies of its last row, so that every batch has one shape."""
    return np.pad(array, [(0, num_rows - len(array))] + [(0, 0)] * (array.ndim - 1), mode="edge")


def _with_bar(batches, total, progress):
    return track(batches, description="log p(x)", total=total) if progress else batches
