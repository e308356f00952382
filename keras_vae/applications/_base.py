"""What the applications share: a VAE as an estimator of scikit-learn's kind."""

import dataclasses
import numbers
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import keras
import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from keras_vae._parts import check_share
from keras_vae.data import PROTOCOLS, Splits, from_arrays, from_table
from keras_vae.data.tables import as_frame, encode
from keras_vae.export import Parity, export
from keras_vae.models import VAE
from keras_vae.training import Recipe

_STEPS = 25  # updates until the held-out rows are looked at, at least
_LONG = 2_000_000  # rows trained on, from which on XLA saves more time than it takes


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class VAEEstimator(BaseEstimator):
    """A VAE that scikit-learn can fit, clone and search over.

    X is a table [N, D], a data frame or an array, or images [N, H, W] or [N, H, W, C]. The columns
    of a data frame have types (see `data.load`); those of an array are real numbers. Real columns
    are standardised inside of the model, which takes and gives values as they are.

    A share of the rows is held out: training stops when the bound on them no longer improves, and
    the best epoch is kept.

    Args:
        latent_dim: size of z.
        hidden: units of the hidden layers, or channels per level of "conv"; None: the default.
        network: "mlp", or "conv" for images.
        activation: of the hidden layers, any name that Keras knows.
        likelihood: a name as of `keras-vae train --likelihood`; None: what suits the data.
        prior: "normal" or "mixture".
        objective: "elbo" or "iwae".
        num_components: of the prior "mixture".
        beta: weight of the rate in the objective "elbo"; None: 1.
        epochs: passes over the training rows at most; a pass of few rows is repeated until it has
            made 25 updates.
        patience: epochs without a better bound on the held-out rows, after which training stops.
        batch_size: rows per update; fewer where there are fewer.
        learning_rate: Adam's highest; it falls along a cosine.
        validation_fraction: share of the rows that is held out, in (0, 1).
        column_types: of a data frame, for columns that are not what they look like.
        protocol: how pixels become data (see `data.load`); None: what suits them. Under one that draws
            zeros and ones in training, other images are rounded.
        random_state: integer, `RandomState` or None, of everything that is drawn.
        jit_compile: whether to train under XLA; None: where it saves time.
        verbose: whether to show Keras's progress bar.

    Attributes:
        model_: the fitted `VAE`; also `model`.
        history_: the objective's terms by epoch, as Keras gives them.
        columns_: what the columns of a table are.
        n_features_in_, feature_names_in_: as scikit-learn has them; of images, the first axis.
    """

    latent_dim: int = 8
    hidden: tuple[int, ...] | None = None
    network: str = "mlp"
    activation: str = "relu"
    likelihood: str | None = None
    prior: str = "normal"
    objective: str = "elbo"
    num_components: int = 50
    beta: float | None = None
    epochs: int = 200
    patience: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    validation_fraction: float = 0.1
    column_types: Mapping[str, str] | None = None
    protocol: str | None = None
    random_state: int | None = 0
    jit_compile: bool | None = None
    verbose: bool = False

    takes_empty_rows: ClassVar[bool] = False

    def fit(self, X, y=None) -> Self:
        """Trains the VAE.

        Args:
            X: rows [N, D], or images [N, H, W] or [N, H, W, C]; at least two.
            y: ignored; scikit-learn's pipelines pass it on.
        """
        self._fit(self._given(X, is_new=True))
        return self

    @property
    def model(self) -> VAE:
        """The fitted `VAE`, a `keras.Model`."""
        check_is_fitted(self, "model_")
        return self.model_

    def export(self, path: str | os.PathLike[str], **options: Any) -> Parity:
        """Writes the model for other runtimes: see `keras_vae.export.export`."""
        return export(self.model, path, **options)

    # For the applications.

    def _fit(self, X, **options: Any) -> None:
        self.seed_ = _seed_of(self.random_state)
        self._train(self._splits(X, **options))

    def _batch(self, X):
        """What the model takes for X: values, with a mask where it asks for one."""
        X = self._given(X)
        x = self._images(X) if X.ndim > 2 else encode(self._modelled(X), self.columns_)
        if "mask" in self.model_.side_inputs:
            return {"x": x, "mask": (~np.isnan(x)).astype(np.float32)}
        if np.isnan(x).any():
            raise ValueError(
                "Input X contains NaN, and the model was fitted on rows without missing values. Fill them in, "
                "or fit on rows of which some have missing values."
            )
        return x

    # How X becomes data, and data a model.

    def _given(self, X, *, is_new: bool = False) -> Any:
        """X, checked: an array, or a data frame with the columns of the one that was fitted."""
        if not is_new:
            check_is_fitted(self, "model_")
        least, validated = (2 if is_new else 1), cast(Any, validate_data)  # typed as giving text
        if isinstance(X, pd.DataFrame) and not all(map(is_float_dtype, X.dtypes)):
            # Text and categories become numbers once the columns are known.
            if len(X) < least:
                raise ValueError(
                    f"Found array with {len(X)} sample(s) (shape={X.shape}) while a minimum of {least} is "
                    f"required by {type(self).__name__}."
                )
            validated(self, X, reset=is_new, skip_check_array=True)
        else:
            numbers = validated(
                self,
                X,
                reset=is_new,
                dtype=(np.float32, np.uint8),
                ensure_all_finite="allow-nan",
                allow_nd=True,
                ensure_min_samples=least,
            )
            X = X if isinstance(X, pd.DataFrame) else numbers
        empty = np.asarray(pd.isna(X)).all(axis=1) if X.ndim == 2 else np.zeros(1)
        if np.any(empty) and not self.takes_empty_rows:
            raise ValueError(
                f"The row at index {int(np.argmax(empty))} has no value at all. Leave such rows out."
            )
        return X

    def _splits(self, X, **options: Any) -> Splits:
        """The rows for training, and those held out."""
        num = len(X)
        name = type(self).__name__
        check_share(name, proper=True, validation_fraction=self.validation_fraction)
        held_out = min(num - 1, max(1, round(self.validation_fraction * num)))
        batch_size = max(1, min(self.batch_size, num - held_out))
        options |= {"validation": held_out, "test": 0, "batch_size": batch_size, "seed": self.seed_}
        if X.ndim == 2:
            return from_table(self._frame(X), column_types=self._types(X), **options)
        return from_arrays(X, protocol=self.protocol, **options)

    def _frame(self, X) -> pd.DataFrame:
        names = getattr(self, "feature_names_in_", None)
        return as_frame(X, None if names is None else list(names))

    def _modelled(self, X) -> Any:
        """The columns of X that the model has: all but those skipped."""
        return self._frame(X)[[column.name for column in self.columns_]]

    def _types(self, X) -> Mapping[str, str]:
        """Of the columns; those of an array are real numbers, whatever they look like."""
        given = dict(self.column_types or {})
        if isinstance(X, pd.DataFrame):
            return given
        return {str(name): "real" for name in self._frame(X).columns} | given

    def _images(self, X) -> np.ndarray:
        shape = self.model_.event_shape
        if X.shape[1:] not in (shape, shape[:-1]):
            raise ValueError(
                f"The model was fitted on images of shape {shape}. Received: {X.shape[1:]}"
            )
        x = self.protocol_.expected(X.reshape(-1, *shape)).numpy()
        return np.round(x) if self.protocol_.draw else x  # what was drawn in training

    def _train(self, splits: Splits) -> None:
        self.columns_, self.protocol_ = splits.columns, PROTOCOLS[splits.protocol]
        steps_per_epoch = max(splits.steps_per_epoch, _STEPS)
        is_long = self.epochs * steps_per_epoch * splits.batch_size > _LONG
        recipe = dataclasses.replace(
            self._recipe(splits),
            batch_size=splits.batch_size,
            steps_per_epoch=steps_per_epoch,
            jit_compile=self.jit_compile if is_long else bool(self.jit_compile),
        )
        model = self._built(recipe, splits)
        best = keras.callbacks.EarlyStopping(
            f"val_{model.objective.monitor}",
            patience=self.patience,
            mode="min",
            restore_best_weights=True,
        )
        fitted = model.fit(
            splits.train,
            epochs=self.epochs,
            steps_per_epoch=steps_per_epoch,
            validation_data=splits.validation,
            callbacks=[keras.callbacks.TerminateOnNaN(raise_error=False), best],
            verbose=int(self.verbose),  # pyright: ignore[reportArgumentType]
        )
        if not np.isfinite(fitted.history["loss"]).all():
            raise RuntimeError(
                "Training diverged: the loss is no longer a number. Use a smaller learning_rate, or bring the "
                "data into a smaller range."
            )
        self.model_, self.history_ = model, fitted.history

    def _built(self, recipe: Recipe, splits: Splits) -> Any:
        """The compiled model."""
        return recipe.build(splits)

    def _recipe(self, splits: Splits) -> Recipe:
        """What `keras-vae train` would train the model by."""
        shared = {field.name for field in dataclasses.fields(Recipe)} - {"column_types", "protocol"}
        base = {
            field.name for field in dataclasses.fields(VAEEstimator)
        }  # not an application's own
        own = {name: getattr(self, name) for name in base & shared}
        hidden = None if self.hidden is None else tuple(self.hidden)
        own |= {"hidden": hidden, "seed": self.seed_, "condition": splits.condition}
        return Recipe(**own)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _seed_of(random_state) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
