"""Generation with control: keep one thing, change another.

Functions on any VAE, arrays in and arrays out. What a conditional model asks for stands beside x in a
dict batch, as in training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_vae._parts import check_count, name_of
from keras_vae.evaluation import latent_use
from keras_vae.models import VAE, num_rows
from keras_vae.models._checks import checked_conditions

__all__ = ["analogies", "apply_attribute", "attribute_vector", "pairs", "transfer", "traversals"]

_DRAWS = 4096  # from a prior whose moments have no closed form


def transfer(vae: VAE, batch, **new_conditions) -> np.ndarray:
    """Style transfer: examples with their style kept and their conditions changed.

        u = (E[z|x, c] - mean p(z|c)) / stddev p(z|c),  z' = mean p(z|c') + u stddev p(z|c')

    The style is where z lies in its prior. Under a prior that is the same for all conditions z' is z;
    a prior p(z|c) moves with the class, and the style moves along.

    Args:
        vae: a conditional model.
        batch: "x" [N, *event] and its conditions [N, ...], by input name.
        **new_conditions: one value for all or [N, ...], by input name.

    Returns:
        [N, *event].

    Example:
        >>> import keras
        >>> from keras_vae import likelihoods
        >>> def network(name, size, units):
        ...     inputs = [keras.Input((size,), name=name), keras.Input((3,), name="label")]
        ...     return keras.Model(
        ...         inputs, keras.layers.Dense(units)(keras.layers.Concatenate()(inputs))
        ...     )
        >>> vae = VAE(network("x", 6, 4), network("z", 2, 6), likelihood=likelihoods.Bernoulli())
        >>> labels = np.eye(3)
        >>> transfer(vae, {"x": np.ones([5, 6]), "label": labels[[0, 0, 1, 2, 2]]}, label=labels[1]).shape
        (5, 6)

    References:
        Kingma, Rezende, Mohamed and Welling, Semi-Supervised Learning with Deep Generative Models,
        2014, arXiv:1406.5298, section 4.2.
    """
    style = _style(vae, batch)
    conditions = checked_conditions(vae, len(style), new_conditions)
    return vae.show(_placed(vae, style, conditions), **conditions)


def analogies(vae: VAE, batch, **new_conditions) -> np.ndarray:
    """Every example under each of K conditions, its style kept: see `transfer`.

    Args:
        vae: a conditional model.
        batch: "x" [N, *event] and its conditions [N, ...], by input name.
        **new_conditions: [K, ...], by input name.

    Returns:
        [N, K, *event]; `pictures.analogy_grid` lays them out beside the originals.
    """
    style = _style(vae, batch)
    counts = {name: len(np.atleast_1d(values)) for name, values in new_conditions.items()}
    num_columns = max(counts.values(), default=1)
    if set(counts.values()) - {num_columns}:
        raise ValueError(f"Each column has one value of every condition. Received: {counts}")
    columns = checked_conditions(vae, num_columns, new_conditions)
    each = np.tile(np.arange(num_columns), len(style))
    conditions = {name: values[each] for name, values in columns.items()}
    z = _placed(vae, np.repeat(style, num_columns, axis=0), conditions)
    shown = vae.show(z, **conditions)
    return shown.reshape(len(style), num_columns, *shown.shape[1:])


def attribute_vector(vae: VAE, with_attribute, without) -> np.ndarray:
    """The direction of an attribute in latent space: the difference of two mean embeddings.

    Attributes that go together in the data (a smile and long hair, say) go together in the vector;
    choose examples that differ in the one only.

    Args:
        vae: the model.
        with_attribute: examples that have it, [N, *event], or a dict batch.
        without: examples that have it not, [M, *event], or a dict batch.

    Returns:
        float32 [D]. Vectors may be added, scaled and compared.

    References:
        White, Sampling Generative Networks, 2016, arXiv:1609.04468, section 3.
        Larsen, Sonderby, Larochelle and Winther, Autoencoding beyond Pixels using a Learned
        Similarity Metric, 2015, arXiv:1512.09300, section 4.1.
    """
    return vae.embed(with_attribute).mean(axis=0) - vae.embed(without).mean(axis=0)


def apply_attribute(
    vae: VAE, batch, vector: npt.ArrayLike, amounts: Sequence[float] = (0.0, 0.5, 1.0)
) -> np.ndarray:
    """Moves examples along a direction in latent space: what is shown at z + amount * vector.

    Args:
        vae: the model.
        batch: examples [N, *event]; a dict batch for a conditional model, whose conditions are kept.
        vector: [D], of `attribute_vector` or a sum of such.
        amounts: how far: 0 is the reconstruction, 1 the whole attribute, negative takes it away.

    Returns:
        [N, len(amounts), *event].
    """
    _need_real(vae, "apply_attribute")
    z, vector = vae.embed(batch), np.asarray(vector, np.float32)
    if vector.shape != z.shape[1:]:
        raise ValueError(
            f"The vector has to have the shape of a latent, {z.shape[1:]}. Received: {vector.shape}"
        )
    steps = np.asarray(amounts, np.float32)[:, np.newaxis] * vector
    return vae.show(z[:, np.newaxis] + steps, **_conditions_of(vae, batch))


def traversals(
    vae: VAE,
    batch,
    dims: int | Sequence[int] = 8,
    values: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Latent traversals: one example, with one latent dimension at a time set to other values.

    Args:
        vae: the model.
        batch: examples [N, *event], or a dict batch; the first is what is changed.
        dims: numbers of latent dimensions; or how many of those with the largest rate over all N
            examples (`evaluation.latent_use`), largest first.
        values: what a dimension is set to, in standard deviations of the prior from its mean; by
            default 9 from -3 to 3.

    Returns:
        [len(dims), len(values), *event].

    References:
        Higgins et al., beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
        Framework, ICLR 2017.
    """
    _need_real(vae, "traversals")
    values = np.linspace(-3, 3, 9) if values is None else np.asarray(values)
    chosen = _largest(vae, batch, dims) if isinstance(dims, int) else np.asarray(dims)
    if chosen.ndim != 1 or not np.isin(chosen, range(vae.latent_dim)).all():
        raise ValueError(
            f"The model has the latent dimensions 0 to {vae.latent_dim - 1}. Received: {chosen.tolist()}"
        )
    first = _rows(batch, slice(0, 1))
    conditions = _conditions_of(vae, first)
    mean, stddev = (np.broadcast_to(m, (1, vae.latent_dim))[0] for m in _moments(vae, conditions))
    z = np.tile(vae.embed(first)[0], (len(chosen), len(values), 1))
    for row, dim in enumerate(chosen):
        z[row, :, dim] = mean[dim] + values * stddev[dim]
    return vae.show(z, **{name: value[0] for name, value in conditions.items()})


def pairs(vae: VAE, batch, number: int) -> tuple[Any, Any]:
    """Examples to interpolate between, in their order; of one class where the model is told a label.

    Args:
        vae: the model.
        batch: examples [N, *event], or a dict batch.
        number: of pairs; fewer where there are not as many.

    Returns:
        The first and the last of every pair, like `batch`.
    """
    names = [name for name in vae.labels if name in vae.conditions]
    classes = (
        zip(*(batch[name] for name in names), strict=True) if names else [()] * num_rows(batch)
    )
    waiting, found = {}, []
    for row, kind in enumerate(classes):
        if kind not in waiting:
            waiting[kind] = row
        elif len(found) < number:
            found.append((waiting.pop(kind), row))
    if not found:
        raise ValueError(
            f"A pair takes two examples, of one class each. Received: {num_rows(batch)} examples"
        )
    first, last = np.transpose(found)
    return _rows(batch, first), _rows(batch, last)


def _need_real(vae: VAE, what: str) -> None:
    if (support := vae.prior.support) != "real":
        raise ValueError(
            f"{what} moves single latents, which takes z off the {support} that {name_of(vae.prior)} has its "
            "density on. Expected a model whose latents are any real numbers; `interpolate` works for this one."
        )


def _largest(vae: VAE, batch, number: int) -> np.ndarray:
    check_count("traversals", dims=number)
    use = latent_use(vae, batch)
    return np.argsort(-(use.variance if use.rate is None else use.rate), kind="stable")[:number]


def _rows(batch, rows: slice | np.ndarray):
    if isinstance(batch, dict):
        return {name: values[rows] for name, values in batch.items()}
    return batch[rows]


def _conditions_of(vae: VAE, batch) -> dict[str, np.ndarray]:
    """What the decoder asks for beside z, from a dict batch."""
    entries = batch if isinstance(batch, dict) else {}
    return {name: np.asarray(entries[name]) for name in vae.conditions if name in entries}


def _style(vae: VAE, batch) -> np.ndarray:
    """Where the embeddings of a batch lie in their prior, [N, D]: see `transfer`."""
    if not vae.conditions:
        raise ValueError(
            "The model has no conditions to change. Expected one whose decoder takes them beside z, such as "
            "`keras-vae train --condition label` makes."
        )
    mean, stddev = _moments(vae, batch)
    return (vae.embed(batch) - mean) / stddev


def _placed(vae: VAE, style: np.ndarray, conditions: dict[str, np.ndarray]) -> np.ndarray:
    mean, stddev = _moments(vae, conditions)
    return mean + stddev * style


def _moments(vae: VAE, batch) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the prior, [D] each, or [N, D] of one that depends on the batch."""
    prior = vae.prior_over(tf.nest.map_structure(tf.convert_to_tensor, batch))
    try:
        return prior.mean().numpy(), prior.stddev().numpy()
    except NotImplementedError:
        z = vae.prior.sample(_DRAWS).numpy()
        return z.mean(axis=0), z.std(axis=0)
