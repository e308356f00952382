"""A likelihood per block of columns: for tables whose columns are of several types."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import Configurable, check_count, check_known, name_of, value_object
from keras_vae.likelihoods._base import Likelihood

tfd, tfb = tfp.distributions, tfp.bijectors

KINDS = ("real", "integer", "count", "zero-inflated-count", "binary", "categorical")
"""What a column may be. An integer is modelled as a real number, and rounded when it is shown."""


@value_object
class Column(Configurable):
    """What a column of a table is called, and what its numbers mean.

    Args:
        name: its name in the table.
        kind: "real", "integer", "count", "zero-inflated-count", "binary" or "categorical".
        categories: what the numbers 0, 1, ... of a binary or categorical column stand for: strings,
            numbers or truth values.
    """

    name: str
    kind: str = "real"
    categories: tuple[str | float | bool, ...] = ()

    def __post_init__(self):
        check_known("kind of column", self.kind, KINDS)
        object.__setattr__(self, "categories", tuple(self.categories))
        num, least = len(self.categories), {"binary": 2, "categorical": 2}.get(self.kind, 0)
        if num < least or (num > 2 and self.kind == "binary") or (num and not least):
            expected = {"binary": "two categories", "categorical": "at least two categories"}
            raise ValueError(
                f"The {self.kind} column {self.name!r} takes {expected.get(self.kind, 'no categories')}. "
                f"Received: {num}"
            )
        if len(set(self.categories)) < num:
            raise ValueError(f"The column {self.name!r} names a category twice: {self.categories}")


@value_object
class Block(Configurable):
    """Columns that share a likelihood.

    Args:
        likelihood: of vectors (event_rank=1), without weights of its own.
        indices: which elements of x.
    """

    likelihood: Likelihood
    indices: tuple[int, ...]

    def __post_init__(self):
        object.__setattr__(self, "indices", tuple(int(index) for index in self.indices))
        check_count(name_of(self), least=0, indices=min(self.indices, default=0))
        known = isinstance(self.likelihood, Likelihood)
        if not known or isinstance(self.likelihood, keras.Layer) or self.likelihood.event_rank != 1:
            raise ValueError(
                f"A block takes a likelihood of vectors that has no weights. Received: {self.likelihood!r}"
            )
        if not self.indices:
            raise ValueError(
                f"The block of {name_of(self.likelihood)} has no indices. Expected one or more."
            )
        self.likelihood.check_channels(len(self.indices))

    @property
    def params_size(self) -> int:
        return self.likelihood.params_size(len(self.indices))


@value_object
class Mixed(Likelihood, Configurable):
    """p(x|z) = prod over blocks b of p_b(x_b|z): a likelihood for every type of column.

    Log-probabilities add up, and so do densities and probabilities among them: a value is comparable
    with others of the same columns only. The decoder gives the parameters block after block. Real
    columns are standardised inside of their block (`Normal(data_mean=..., data_stddev=...)`), so a
    model takes and gives values as they are in the table.

    Args:
        blocks: `Block` objects that share out the elements 0 ... D - 1 of x among them.
        columns: what the D elements are, `Column` objects; () if they have no names.
        event_rank: 1, a row.

    Example:
        >>> from keras_vae.likelihoods import Bernoulli, Categorical, Normal
        >>> mixed = Mixed(
        ...     blocks=(
        ...         Block(likelihood=Normal(), indices=(0, 2)),
        ...         Block(likelihood=Categorical(num_categories=3), indices=(1,)),
        ...     )
        ... )
        >>> mixed.params_size(3)
        7
        >>> mixed.log_prob(tf.zeros([5, 7]), tf.zeros([5, 3])).shape
        TensorShape([5])

    References:
        Nazabal et al., Handling Incomplete Heterogeneous Data using VAEs, 2018, arXiv:1807.03653
        (the likelihoods of section 2.2).
    """

    blocks: tuple[Block, ...]
    columns: tuple[Column, ...] = ()
    event_rank: int = 1

    def __post_init__(self):
        if self.event_rank != 1:
            raise ValueError(
                f"{name_of(self)} is a likelihood of rows. Expected event_rank=1. Received: {self.event_rank}"
            )
        for name in ("blocks", "columns"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if strange := [block for block in self.blocks if not isinstance(block, Block)]:
            raise TypeError(
                f"The blocks of {name_of(self)} have to be instances of Block. Received: {strange[0]!r}"
            )
        indices = sorted(index for block in self.blocks for index in block.indices)
        if not indices or indices != list(range(len(indices))):
            raise ValueError(
                f"The blocks of {name_of(self)} have to share out the elements 0, 1, ... of x, each of "
                f"them once. Received: {[block.indices for block in self.blocks]}"
            )
        if self.columns and len(self.columns) != len(indices):
            raise ValueError(
                f"The blocks of {name_of(self)} have {len(indices)} elements and there are "
                f"{len(self.columns)} columns: {[column.name for column in self.columns]}"
            )

    def __repr__(self):
        parts = [f"{len(block.indices)} {name_of(block.likelihood)}" for block in self.blocks]
        return f"{name_of(self)}({', '.join(parts)})"

    @property
    def num_columns(self) -> int:
        return sum(len(block.indices) for block in self.blocks)

    @property
    def _places(self) -> list[int]:
        """Where each element of x stands among the blocks."""
        return np.argsort([index for block in self.blocks for index in block.indices]).tolist()

    @property
    def support(self):
        of_blocks = dict.fromkeys(
            f"{block.likelihood.support} in {self._named(block)}" for block in self.blocks
        )
        return "; ".join(of_blocks)

    @property
    def measure(self):
        found: dict[str, list[int]] = {}
        for block in self.blocks:
            found.setdefault(block.likelihood.measure, []).extend(block.indices)
        if len(found) == 1:
            return next(iter(found))
        return "; ".join(
            f"{measure} of {', '.join(self._names(sorted(found[measure])))}"
            for measure in sorted(found)
        )

    def _names(self, indices: Sequence[int]) -> list[str]:
        return [self.columns[i].name if self.columns else f"column {i}" for i in indices]

    def _named(self, block: Block) -> str:
        named = self._names(block.indices)
        return ", ".join(named[:5]) + (", ..." if len(named) > 5 else "")

    def params_size(self, channels):
        if channels != self.num_columns:
            raise ValueError(
                f"{name_of(self)} has a likelihood for {self.num_columns} columns. Received examples "
                f"with {channels}."
            )
        return sum(block.params_size for block in self.blocks)

    def _with_params(self, params: tf.Tensor) -> list[tuple[Block, tf.Tensor]]:
        params = tf.cast(params, tf.float32)
        sizes = [block.params_size for block in self.blocks]
        return list(zip(self.blocks, tf.split(params, sizes, axis=-1), strict=True))

    def _joined(self, of_blocks: list[tf.Tensor]) -> tf.Tensor:
        """Brings what the blocks give, [..., of block] each, into the order of x."""
        return tf.gather(tf.concat(of_blocks, axis=-1), self._places, axis=-1)

    def elementwise(self, params):
        raise NotImplementedError(f"{name_of(self)} has a distribution for every block of columns.")

    def distribution(self, params):
        parts = [block.likelihood.distribution(part) for block, part in self._with_params(params)]
        return tfd.TransformedDistribution(tfd.Blockwise(parts), tfb.Permute(self._places))

    def _log_prob_by_element(self, params, x):
        return self._joined(
            [
                block.likelihood.log_prob_by_element(part, tf.gather(x, block.indices, axis=-1))
                for block, part in self._with_params(params)
            ]
        )

    def location(self, params):
        return self._joined(
            [block.likelihood.location(part) for block, part in self._with_params(params)]
        )

    def expected(self, params):
        """What may be averaged over several z, of block after block."""
        parts = [block.likelihood.expected(part) for block, part in self._with_params(params)]
        return tf.concat(parts, axis=-1)

    def decided(self, expected):
        sizes = [block.likelihood.features_size(len(block.indices)) for block in self.blocks]
        parts = tf.split(expected, sizes, axis=-1)
        return self._joined(
            [block.likelihood.decided(part) for block, part in zip(self.blocks, parts, strict=True)]
        )

    @property
    def is_push_forward(self):
        return all(block.likelihood.is_push_forward for block in self.blocks)

    def transform(self, params, noise):
        """Pushes standard normals, like x, forward to a draw from p(x|z)."""
        return self._joined(
            [
                block.likelihood.transform(part, tf.gather(noise, block.indices, axis=-1))
                for block, part in self._with_params(params)
            ]
        )

    def sample(self, params, seed):
        """One draw from p(x|z), in x's shape; `seed` is int32 [2]."""
        parts = self._with_params(params)
        seeds = tfp.random.split_seed(seed, n=len(parts))
        return self._joined(
            [
                block.likelihood.sample(part, seeds[number])
                for number, (block, part) in enumerate(parts)
            ]
        )

    def features(self, x):
        return tf.concat(
            [
                block.likelihood.features(tf.gather(x, block.indices, axis=-1))
                for block in self.blocks
            ],
            axis=-1,
        )

    def features_size(self, channels):
        return len(self.feature_columns)

    @property
    def feature_columns(self) -> list[int]:
        """Which element of x each of its `features` is of."""
        return [
            index
            for block in self.blocks
            for index in block.indices
            for _ in range(block.likelihood.features_size(len(block.indices)) // len(block.indices))
        ]

    def contains(self, x):
        return self._joined(
            [
                block.likelihood.contains(tf.gather(x, block.indices, axis=-1))
                for block in self.blocks
            ]
        )
