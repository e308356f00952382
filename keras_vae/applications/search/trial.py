"""A point of the grid, with its runs."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from keras_vae.applications.search.measures import Measures
from keras_vae.applications.search.plan import in_words
from keras_vae.training import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """A point of the grid: its runs, one for every seed, and what they reached.

    Attributes:
        recipe: of the first run.
        runs: the run folders.
        measures: what each reached; None: it diverged.
    """

    recipe: Recipe
    runs: tuple[Path, ...]
    measures: tuple[Measures | None, ...]

    @property
    def latent_dim(self) -> int:
        return self.recipe.latent_dim

    @property
    def size(self) -> str:
        """The size of z in words."""
        return f"{self.latent_dim} latent dimension{'s' * (self.latent_dim > 1)}"

    @property
    def setting(self) -> str:
        """All but the size, in words: network, hidden layers, beta."""
        hidden = "" if self.recipe.hidden is None else f" {in_words(self.recipe.hidden)}"
        return f"{self.recipe.network}{hidden}, beta {self.recipe.rate_weight:g}"

    @property
    def status(self) -> str:
        """Either "complete", or "pruned": a run was stopped early, or "diverged": there are no numbers."""
        if None in self.measures:
            return "diverged"
        return "pruned" if any(m.is_pruned for m in self._reached) else "complete"

    @property
    def negative_elbo(self) -> np.ndarray:
        """Of every run and example, nats, float64 [R, N]; NaN, [R, 1], where a run diverged."""
        if None in self.measures:
            return np.full([len(self.measures), 1], math.nan)
        return np.stack([m.negative_elbo for m in self._reached])

    def mean(self, measure: str = "mean") -> float:
        """A field of `Measures`, mean over the runs; of "mean", the negative ELBO, nats."""
        if None in self.measures:
            return math.nan
        return float(np.mean([getattr(m, measure) for m in self._reached]))

    @property
    def epochs(self) -> int:
        """Epochs that were run, the fewest of the runs; 0 where one diverged."""
        return min((len(m.history) if m else 0) for m in self.measures)

    @property
    def _reached(self) -> list[Measures]:
        return [m for m in self.measures if m is not None]
