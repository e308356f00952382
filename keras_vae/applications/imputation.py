"""Missing values: what they are expected to be, and draws of what they may be."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow as tf
from pandas.api.types import is_bool_dtype, is_integer_dtype
from sklearn.base import OneToOneFeatureMixin, TransformerMixin

from keras_vae._parts import check_count
from keras_vae.applications._base import VAEEstimator
from keras_vae.data.tables import decode, encode
from keras_vae.likelihoods import Column, Mixed
from keras_vae.models import num_rows
from keras_vae.noise import as_seed, normals, threefry

_NUMBERS = 2**22  # float32 in the widest layer of one pass


def impute(model: Any, batch: dict[str, Any], *, num_samples: int = 1000, seed=0) -> np.ndarray:
    """Fills missing values in with what they are expected to be, given those observed.

        E[x_m | x_o] ~ sum_k w_k E[x_m | z_k],    w_k ~ p(x_o|z_k) p(z_k) / q(z_k|x_o),  sum_k w_k = 1

    the z_k drawn from q(z|x_o). Probabilities of categories are averaged likewise, and the most
    probable category is filled in; of a binary element, its probability.

    Every example gets the same noise, so that what is filled in does not depend on the others.

    Args:
        model: a `VAE` or a `NotMIWAE`.
        batch: {"x": [N, *event], "mask": like x, 1 where it is observed}, and the model's conditions.
        num_samples: importance samples K.
        seed: an integer, or a pair of 32-bit integers.

    Returns:
        float32 [N, *event]: x where it is observed.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(3, 2, hidden=8), likelihood=likelihoods.Bernoulli())
        >>> x, mask = np.ones([2, 3], np.float32), np.array([[1, 1, 0], [1, 1, 1]])
        >>> impute(vae, {"x": x, "mask": mask}, num_samples=10).shape
        (2, 3)

    References:
        Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets,
        2019, arXiv:1812.02633, section 3.
    """
    noise = _noise(model, num_samples, seed)

    def expected(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        log_sums, means = [], []
        for z, log_weights in _weighted(model, batch, noise):
            log_sums.append(tf.reduce_logsumexp(log_weights, axis=0))
            weights = tf.nn.softmax(log_weights, axis=0)
            means.append(tf.einsum("kb,kb...->b...", weights, model.expected(batch, z)))
        shares = tf.nn.softmax(tf.stack(log_sums), axis=0)
        mean = tf.einsum("kb,kb...->b...", shares, tf.stack(means))
        return model.now(model.likelihood).decided(mean)

    return _filled(model, batch, num_samples, lambda number, rows: expected(rows)[tf.newaxis])[0]


def sample_imputations(
    model: Any, batch: dict[str, Any], num: int, *, num_samples: int = 1000, seed=0
) -> np.ndarray:
    """Draws from p(x_m | x_o): multiple imputations, whose spread is what is not known.

    By sampling importance resampling: z is chosen among z_k ~ q(z|x_o) with the probabilities w_k of
    `impute`, then x_m ~ p(x_m|z).

    Args:
        model: as of `impute`.
        batch: as of `impute`.
        num: how many draws.
        num_samples: importance samples K, of which z is chosen: many more than `num`.
        seed: an integer, or a pair of 32-bit integers.

    Returns:
        float32 [num, N, *event]: x where it is observed.

    References:
        Mattei and Frellsen, 2019, arXiv:1812.02633, section 3 (multiple imputation).
    """
    check_count("sample_imputations", num=num)
    noise, key = _noise(model, num_samples, seed), as_seed(seed)

    def drawn(number: int, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        which, what = (tf.stack(threefry(key, tf.constant(number), tf.constant(i))) for i in (1, 2))
        pairs = list(_weighted(model, batch, noise))
        z, log_weights = (tf.concat(parts, axis=0) for parts in zip(*pairs, strict=True))
        chosen = tf.random.stateless_categorical(tf.transpose(log_weights), num, which)
        z = tf.gather(tf.transpose(z, [1, 0, 2]), chosen, batch_dims=1)
        return model.draw(batch, tf.transpose(z, [1, 0, 2]), what)

    return _filled(model, batch, num_samples, drawn, num)


def _noise(model: Any, num_samples: int, seed) -> tf.Tensor:
    check_count("impute", num_samples=num_samples)
    return normals(as_seed(seed), num_samples, model.inference_noise_size)


def _weighted(
    model: Any, batch: dict[str, tf.Tensor], noise: tf.Tensor
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Samples z [k, B, D] and log w [k, B], not normalised, of as many at once as memory allows."""
    rows = num_rows(batch)
    at_once = max(1, _NUMBERS // (model.widest_layer * rows))
    for start in range(0, len(noise), at_once):
        part = noise[start : start + at_once, tf.newaxis]  # pyright: ignore[reportIndexIssue]
        q, z = model.infer_from(batch, tf.repeat(part, rows, axis=1))
        yield z, model.log_weights_of(batch, q, z)


def _filled(
    model: Any,
    batch: dict[str, Any],
    num_samples: int,
    missing: Callable[[int, dict[str, tf.Tensor]], tf.Tensor],
    num: int = 1,
) -> np.ndarray:
    """`missing` gives x [num, B, *event] for a number and a chunk of the batch; observed values stay."""
    if not isinstance(batch, dict) or "mask" not in batch:
        raise ValueError(
            'What is missing is said by a mask. Expected a dict {"x": ..., "mask": ...}. Received: '
            f"{sorted(batch) if isinstance(batch, dict) else type(batch).__name__}"
        )
    arrays = {name: np.asarray(value) for name, value in batch.items()}
    model.check_batch(arrays)
    x = arrays["x"].astype(np.float32)
    observed = np.broadcast_to(arrays["mask"].astype(bool), x.shape)
    filled = np.repeat(x[np.newaxis], num, axis=0)
    at_once = max(1, _NUMBERS // (model.widest_layer * num_samples))
    for number, start in enumerate(range(0, len(x), at_once)):
        rows = slice(start, start + at_once)
        if not observed[rows].all():
            chunk = {name: tf.constant(array[rows]) for name, array in arrays.items()}
            values = np.asarray(missing(number, chunk))
            filled[:, rows] = np.where(observed[rows], x[rows], values)
    return filled


def fill_table(model: Any, table: pd.DataFrame, *, num_samples: int = 1000, seed=0) -> pd.DataFrame:
    """`impute` for a table: missing values are filled in, whole numbers and categories as such.

    Args:
        model: one of a table, with a likelihood `Mixed` that knows the columns.
        table: rows with these columns; NaN or None where a value is missing.
        num_samples: as of `impute`.
        seed: as of `impute`.

    Returns:
        The table with its types, its index, and the observed values as they are.
    """
    values = impute(model, _batch_of(model, table), num_samples=num_samples, seed=seed)
    return _filled_frame(table, values, columns_of(model))


def sample_tables(
    model: Any, table: pd.DataFrame, num: int, *, num_samples: int = 1000, seed=0
) -> list[pd.DataFrame]:
    """`sample_imputations` for a table: several tables, each filled in with other draws."""
    batch = _batch_of(model, table)
    drawn = sample_imputations(model, batch, num, num_samples=num_samples, seed=seed)
    return [_filled_frame(table, values, columns_of(model)) for values in drawn]


def columns_of(model: Any) -> tuple[Column, ...]:
    """The columns that a model of a table has; raises `ValueError` for any other model."""
    likelihood = model.likelihood
    if not isinstance(likelihood, Mixed) or not likelihood.columns:
        raise ValueError(
            "Expected a model of a table, with a likelihood Mixed that names its columns. "
            f"Received: {likelihood!r}"
        )
    return likelihood.columns


def check_takes_missing(model: Any) -> None:
    """Raises `ValueError` for a model whose encoder does not know which values are missing."""
    if "mask" not in model.side_inputs:
        raise ValueError(
            "The model was trained on rows without missing values, and its encoder knows of none. Train it on "
            "rows of which some have missing values, or use applications.Imputer."
        )


def _batch_of(model: Any, table: pd.DataFrame) -> dict[str, np.ndarray]:
    columns = columns_of(model)
    check_takes_missing(model)
    x = encode(table, columns)
    return {"x": x, "mask": (~np.isnan(x)).astype(np.float32)}


def _filled_frame(
    table: pd.DataFrame, values: np.ndarray, columns: tuple[Column, ...]
) -> pd.DataFrame:
    decoded, filled = decode(values, columns), table.copy()
    for place, name in enumerate(table.columns):
        missing = table[name].isna().to_numpy()
        if str(name) not in decoded or not missing.any():
            continue
        dtype, new = table[name].dtype, decoded[str(name)].to_numpy()[missing]
        if is_integer_dtype(dtype) and not is_bool_dtype(dtype):
            new = np.round(new.astype(np.float64))
        column = table[name].copy()
        column[missing] = pd.Series(new).astype(dtype).to_numpy()
        filled.isetitem(place, column)
    return filled


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Imputer(OneToOneFeatureMixin, TransformerMixin, VAEEstimator):
    """Fills in the missing values of tables: MIWAE, the IWAE objective on what is observed.

    The model learns p(x) from incomplete rows; `transform` fills in what is expected given what is
    observed in the row, and `sample_imputations` draws from p(x_m|x_o), for analyses that are to know
    how uncertain the values are (multiple imputation). Columns may be of any type.

    Unless told otherwise it takes values to be missing at random, which means that whether one is
    missing depends on observed values alone. Where it depends on the value itself (high incomes that
    are not told), a `mechanism` makes it the not-MIWAE, for real columns.

    Args:
        mechanism: what values are missing by, a name in `networks.MECHANISMS`; None: at random.
        likelihood: of real columns; None: "student-t", or, with a mechanism, "normal".
        num_samples: importance samples in training.
        num_imputation_samples: importance samples of which a row's missing values are the mean.
        **kwargs: as of `VAEEstimator`.

    Example:
        >>> X = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, 6.0], [4.0, np.nan]] * 10)
        >>> imputer = Imputer(epochs=1, hidden=(8,), latent_dim=1).fit(X)
        >>> bool(np.isnan(imputer.transform(X)).any())
        False

    References:
        Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets,
        2019, arXiv:1812.02633.
        Ipsen, Mattei and Frellsen, not-MIWAE: Deep Generative Modelling with Missing not at Random
        Data, 2020, arXiv:2006.12871.
    """

    mechanism: str | None = None
    objective: str = "iwae"
    num_samples: int = 20
    num_imputation_samples: int = 1000

    takes_empty_rows: ClassVar[bool] = True

    def fit(self, X, y=None):
        """Trains the VAE on what is observed.

        Args:
            X: rows [N, D], NaN or None where a value is missing.
            y: ignored.
        """
        X = self._given(X, is_new=True)
        if X.ndim > 2:
            raise ValueError(
                f"Imputer fills in tables. Expected rows [N, D]. Received an array of shape {X.shape}."
            )
        self._fit(X, has_missing=True)
        return self

    def _built(self, recipe, splits):
        usual = "student-t" if self.mechanism is None else "normal"
        own = {"likelihood": recipe.likelihood or usual, "mechanism": self.mechanism}
        return super()._built(dataclasses.replace(recipe, **own), splits)

    def transform(self, X):
        """X with its missing values filled in: an array or a data frame, as it came."""
        batch: Any = self._batch(X)
        values = impute(
            self.model_, batch, num_samples=self.num_imputation_samples, seed=self.seed_
        )
        return self._filled(X, values)

    def sample_imputations(self, X, n: int = 5) -> list:
        """As many copies of X, each with other draws of the missing values from p(x_m|x_o)."""
        batch: Any = self._batch(X)
        drawn = sample_imputations(
            self.model_, batch, n, num_samples=self.num_imputation_samples, seed=self.seed_
        )
        return [self._filled(X, values) for values in drawn]

    def _filled(self, X, values: np.ndarray):
        if isinstance(X, pd.DataFrame):
            return _filled_frame(X, values, self.columns_)
        X = np.asarray(X)
        X = X if np.issubdtype(X.dtype, np.floating) else X.astype(np.float64)
        modelled = [column.name for column in self.columns_]
        whole = X.copy()
        places = [i for i, name in enumerate(self._frame(X).columns) if name in modelled]
        whole[:, places] = np.where(np.isnan(X[:, places]), values, X[:, places])
        return whole
