"""What is searched: a grid of recipes."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_vae._parts import check_count
from keras_vae.training import Recipe

_DEFAULT = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched: every combination of latent size, network, hidden layers and beta.

    Attributes:
        recipe: everything that is not searched.
        latent_dims: sizes of z.
        networks: names in `training.NETWORKS`; empty: the recipe's.
        hidden: sizes of the hidden layers, None for the network's default; empty: the recipe's.
        betas: weights of the rate in training; empty: the recipe's.
        repeats: runs of every combination, with the seeds recipe.seed, recipe.seed + 1, ...
        prune: whether runs that fall behind are stopped early; see `rules.falls_behind`.
        limit: validation examples that are compared, at most.

    Raises:
        ValueError: for no values, or one twice, and for what `Recipe` refuses.

    Example:
        >>> plan = Plan(latent_dims=(2, 8), betas=(1.0, 4.0))
        >>> [plan.name_of(values) for values in plan.grid]
        ['latent_dim=8,beta=1', 'latent_dim=8,beta=4', 'latent_dim=2,beta=1', 'latent_dim=2,beta=4']
    """

    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    latent_dims: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    networks: tuple[str, ...] = ()
    hidden: tuple[tuple[int, ...] | None, ...] = ()
    betas: tuple[float, ...] = ()
    repeats: int = 1
    prune: bool = True
    limit: int = 5000

    def __post_init__(self):
        if self.recipe.objective != "elbo":
            raise ValueError(
                "Sizes are compared by the evidence lower bound. Expected a recipe with the objective elbo. "
                f"Received: {self.recipe.objective}"
            )
        own = {"networks": "network", "hidden": "hidden", "betas": "rate_weight"}
        for name in ("latent_dims", *own):
            values = tuple(getattr(self, name))
            if not values and name in own:
                values = (getattr(self.recipe, own[name]),)
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"A search needs at least one value in {name}, and each of them once. "
                    f"Received: {list(values)}"
                )
            object.__setattr__(self, name, values)
        for latent_dim in self.latent_dims:
            check_count("a search", latent_dims=latent_dim)
        check_count("a search", repeats=self.repeats)
        check_count("a search", least=2, limit=self.limit)
        for values in self.grid:  # refuses what a recipe refuses
            self.recipe_of(values)

    @functools.cached_property
    def space(self) -> keras_tuner.HyperParameters:
        """The grid in KerasTuner's terms, large sizes first: they rarely fall behind, small ones do."""
        space = keras_tuner.HyperParameters()
        space.Choice("latent_dim", sorted(self.latent_dims, reverse=True))
        space.Choice("network", list(self.networks))
        space.Choice("hidden", [in_words(sizes) for sizes in self.hidden])
        space.Choice("beta", [float(beta) for beta in self.betas])
        space.Choice("repeat", list(range(self.repeats)))
        return space

    @property
    def grid(self) -> list[dict[str, Any]]:
        """Every point of the grid, as KerasTuner names it."""
        names, choices = zip(*((c.name, c.values) for c in self.space.space), strict=True)
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]

    def recipe_of(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a point of the grid."""
        return dataclasses.replace(
            self.recipe,
            latent_dim=values["latent_dim"],
            network=values["network"],
            hidden=_sizes(values["hidden"]),
            beta=values["beta"],
            seed=self.recipe.seed + values["repeat"],
        )

    def name_of(self, values: Mapping[str, Any]) -> str:
        """The folder's name for a point of the grid: what differs within the search, and the size."""
        varies = {choice.name for choice in self.space.space if len(choice.values) > 1}
        return ",".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}".replace(",", "x")
            for name, value in values.items()
            if name in varies | {"latent_dim"}
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "Plan":
        hidden = tuple(tuple(sizes) if sizes else None for sizes in config["hidden"])
        lists = {name: tuple(config[name]) for name in ("latent_dims", "networks", "betas")}
        recipe = Recipe.from_json(config["recipe"])
        return cls(**{**config, **lists, "hidden": hidden, "recipe": recipe})


def in_words(sizes: tuple[int, ...] | None) -> str:
    """Sizes of hidden layers as the command line takes them; None is "default"."""
    return _DEFAULT if sizes is None else ",".join(map(str, sizes))


def _sizes(words: str) -> tuple[int, ...] | None:
    return None if words == _DEFAULT else tuple(map(int, words.split(",")))
