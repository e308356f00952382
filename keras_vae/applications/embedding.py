"""Embeddings: rows or images as short vectors, for other estimators to start from."""

import dataclasses
import os
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from keras_vae import pictures
from keras_vae.applications._base import VAEEstimator
from keras_vae.data.tables import decode

__all__ = ["Embedder"]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Embedder(TransformerMixin, VAEEstimator):
    """Embeds rows or images: the mean of the posterior q(z|x), in `latent_dim` numbers.

    What a principal component analysis is used for, with networks in place of its two matrices: to
    see data, to compress them, or to learn from few labels what many unlabelled rows have prepared.

    Args:
        with_stddev: whether the posterior's standard deviations stand behind its means: how sure
            the embedding is, a column more for each latent dimension.
        **options: as of every `VAEEstimator`.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(60, 5))
        >>> embedder = Embedder(latent_dim=2, epochs=1, hidden=(8,)).fit(rows)
        >>> embedder.transform(rows).shape, embedder.inverse_transform(np.zeros([1, 2])).shape
        ((60, 2), (1, 5))
        >>> list(embedder.get_feature_names_out())
        ['latent0', 'latent1']

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519.
    """

    with_stddev: bool = False

    def transform(self, X) -> np.ndarray:
        """Embeddings of X, float32 [N, latent_dim], or [N, 2 latent_dim] with standard deviations."""
        return self.model.embed(self._batch(X), with_stddev=self.with_stddev)

    def inverse_transform(self, X) -> Any:
        """What the decoder shows for embeddings.

        Args:
            X: [N, latent_dim]; standard deviations behind them are not looked at.

        Returns:
            Rows [N, D], a data frame where one was fitted; or images [N, H, W, C].
        """
        z = np.asarray(X, np.float32)
        width = len(self.get_feature_names_out())
        if z.ndim != 2 or z.shape[1] not in (self.model.latent_dim, width):
            raise ValueError(
                f"Embeddings have the shape (N, {self.model.latent_dim}). Received: {z.shape}"
            )
        shown = self.model.show(z[:, : self.model.latent_dim])
        return decode(shown, self.columns_) if hasattr(self, "feature_names_in_") else shown

    def score(self, X, y=None) -> float:
        """The objective's bound on log p(x), the mean over the rows, in nats: higher is better.

        So `GridSearchCV` needs no labels to choose a model.
        """
        batch = self._batch(X)
        terms = self.model.evaluate(batch, batch_size=500, verbose=0, return_dict=True)  # pyright: ignore[reportArgumentType]
        return -float(terms[self.model.objective.monitor])

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the columns that `transform` gives: latent0, latent1, ..."""
        check_is_fitted(self, "model_")
        names = [f"latent{number}" for number in range(self.model.latent_dim)]
        stddevs = [f"{name}_stddev" for name in names] if self.with_stddev else []
        return np.array(names + stddevs, object)

    def draw(self, path: str | os.PathLike[str], X, labels=None) -> None:
        """Draws the embeddings of X on their first two principal axes, coloured by label, as a PNG file."""
        z = self.model.embed(self._batch(X))
        pictures.latent_map(path, z, None if labels is None else np.asarray(labels), of="rows")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # float32, whatever X is
        return tags
