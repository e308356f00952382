"""Synthetic tables: rows like those of a table, that are none of its rows, and how good they are."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow as tf

from keras_vae._parts import check_count
from keras_vae.applications._base import VAEEstimator
from keras_vae.applications.imputation import columns_of
from keras_vae.applications.table_quality import QualityReport, quality
from keras_vae.data.tables import as_frame, decode, encode
from keras_vae.noise import as_seed, normals, threefry

_ROWS = 1000  # at once


_BOUNDS = tuple[np.ndarray, np.ndarray]


def bounds_of(values: np.ndarray) -> _BOUNDS:
    """The smallest and the largest observed value of every column, NaN being missing ones."""
    return np.nanmin(values, axis=0), np.nanmax(values, axis=0)


def synthesize(model: Any, num_rows: int, *, seed=0, bounds: _BOUNDS | None = None) -> pd.DataFrame:
    """New rows of a table: z from the prior, then x drawn from p(x|z).

    Whole numbers and categories come out as such. No value is missing.

    Args:
        model: one of a table, with a likelihood `Mixed` that knows the columns.
        num_rows: how many.
        seed: an integer, or a pair of 32-bit integers.
        bounds: the smallest and the largest value of every column, to which draws are clipped: the
            normal distributions of real columns have no bounds, as a price or a length has.

    Returns:
        A table with the model's columns.
    """
    check_count("synthesize", num_rows=num_rows)
    columns, key = columns_of(model), as_seed(seed)
    z = model.prior.transform(normals(key, num_rows, model.prior.noise_size)).numpy()
    drawn = []
    for number, start in enumerate(range(0, num_rows, _ROWS)):
        draws = tf.stack(threefry(key, tf.constant(number), tf.constant(1)))
        drawn.append(model.draw({}, tf.constant(z[start : start + _ROWS]), draws).numpy())
    values = np.concatenate(drawn)
    return decode(values if bounds is None else np.clip(values, *bounds), columns)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Synthesizer(VAEEstimator):
    """Makes synthetic tables: rows like those it was fitted on, of the same columns and types.

    The prior is a mixture that is learned with the model: z drawn from it is where the rows' own
    latents are, which a standard normal need not be. Values missing in training are handled;
    synthetic rows have none. Numbers stay within what was observed.

    Args:
        **kwargs: as of `VAEEstimator`.

    Example:
        >>> X = pd.DataFrame({"size": np.linspace(1.0, 2.0, 40), "sort": list("abca") * 10})
        >>> Synthesizer(epochs=1, hidden=(8,), latent_dim=1).fit(X).sample(3, seed=1).shape
        (3, 2)
    """

    prior: str = "mixture"
    num_components: int = 20

    takes_empty_rows: ClassVar[bool] = False

    def fit(self, X, y=None):
        """Trains the VAE.

        Args:
            X: rows [N, D], NaN or None where a value is missing.
            y: ignored.
        """
        given = X
        X = self._given(X, is_new=True)
        if X.ndim > 2:
            raise ValueError(
                f"Synthesizer makes tables. Expected rows [N, D]. Received an array of shape {X.shape}."
            )
        self._fit(X)
        self.bounds_ = bounds_of(encode(self._modelled(X), self.columns_))
        is_frame = isinstance(given, pd.DataFrame)
        self.dtypes_ = given.dtypes if is_frame else None
        return self

    def sample(self, num_rows: int, seed: int = 0):
        """Synthetic rows: a data frame with the columns and types of the one fitted, or an array."""
        table = synthesize(self.model, num_rows, seed=seed, bounds=self.bounds_)
        if self.dtypes_ is None:
            return table.to_numpy(np.float64)
        table.columns = pd.Index(
            [name for name in self.dtypes_.index if str(name) in table.columns]
        )
        return table.astype({name: self.dtypes_[name] for name in table.columns})

    def report(
        self, X_train, X_test, *, target: str | None = None, n: int | None = None, seed: int = 0
    ) -> QualityReport:
        """Compares synthetic rows with those fitted on and with held-out ones: see `quality`.

        Args:
            X_train: the rows fitted on.
            X_test: rows held out from it.
            target: the name of a column to predict from the others; of an array, x0, x1, ...
            n: number of synthetic rows; by default as many as those fitted on.
            seed: of the synthetic rows.
        """
        frames = [self._modelled(self._given(X)) for X in (X_train, X_test)]
        synthetic = synthesize(self.model, n or len(frames[0]), seed=seed, bounds=self.bounds_)
        return quality(
            as_frame(synthetic), *frames, columns=self.columns_, target=target, seed=self.seed_
        )
