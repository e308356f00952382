"""What does not fit is refused before anything runs: parts, networks, data, conditions."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_vae._parts import name_of
from keras_vae.likelihoods import Likelihood
from keras_vae.networks import input_names
from keras_vae.objectives import Objective
from keras_vae.posteriors import Posterior
from keras_vae.priors import Prior

if TYPE_CHECKING:
    from keras_vae.models.vae import VAE


def check_network(role: str, network, main_input: str) -> None:
    """Raises where `network` cannot be called on `main_input` and on entries named as its inputs are."""
    if not isinstance(network, keras.Model):
        raise TypeError(f"The {role} has to be a keras.Model. Received: {network!r}")
    if not getattr(network, "inputs", None):
        raise ValueError(
            f"The {role} has no inputs yet, so its shapes are unknown. Build it as a Functional model, starting "
            "from keras.Input; a subclassed network can be wrapped: keras.Model(x, network(x))."
        )
    names = input_names(network)
    if len(names) > 1 and main_input not in names:
        raise ValueError(
            f"A {role} with several inputs needs one named {main_input!r}. Received inputs named {names}."
        )


def check_parts(vae: "VAE", latent_size: int) -> None:
    """Raises where the parts of a model are of the wrong kind, or do not fit each other.

    Args:
        vae: the model.
        latent_size: the size of z that the decoder takes.
    """
    posterior, prior, likelihood = vae.posterior, vae.prior, vae.likelihood
    for part, value, kind in (
        ("posterior", posterior, Posterior),
        ("prior", prior, Prior),
        ("likelihood", likelihood, Likelihood),
        ("objective", vae.objective, Objective),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"The {part} has to be an instance of {kind.__name__}. Received: {value!r}"
            )
    if posterior.support != prior.support:
        raise ValueError(
            f"{name_of(posterior)} draws z on the support {posterior.support!r} and {name_of(prior)} has "
            f"its density on {prior.support!r}. Choose a posterior and a prior on the same support, such as Normal "
            "with StandardNormal, PowerSpherical with HypersphericalUniform, or RelaxedCategorical with the prior "
            "RelaxedCategorical."
        )
    if not posterior.reparameterized:
        raise ValueError(
            f"{name_of(vae.objective)} takes the gradient through z, and {name_of(posterior)} draws z without "
            "one. Choose a posterior that is reparameterised, such as RelaxedCategorical for categories."
        )
    if vae.objective.needs_density and not posterior.has_density:
        raise ValueError(
            f"{name_of(vae.objective)} measures z by its density under q(z|x), and {name_of(posterior)} has none. "
            "Choose a posterior that has one, such as Normal, or the objective RAE."
        )
    prior.check(vae)
    if latent_size != prior.latent_dim:
        raise ValueError(
            f"The decoder takes z of size {latent_size} and the prior {name_of(prior)} has "
            f"latent_dim={prior.latent_dim}. They have to be equal."
        )
    expected = posterior.params_size(prior.latent_dim)
    if vae.encoder.output_shape[1:] != (expected,):
        raise ValueError(
            f"The posterior {name_of(posterior)} takes {expected} parameters for latent_dim="
            f"{prior.latent_dim}, so the encoder's output has to be (batch, {expected}). "
            f"Received an encoder with output {vae.encoder.output_shape}."
        )
    event = vae.event_shape
    if not event:
        raise ValueError(
            "The encoder takes examples of shape (), and likelihoods are of vectors and more. Hand numbers over as "
            "vectors of one, keras.Input((1,))."
        )
    if likelihood.event_rank != len(event):
        inner = getattr(likelihood, "likelihood", likelihood)  # of which it has its event_rank
        raise ValueError(
            f"The likelihood {name_of(likelihood)} has event_rank={likelihood.event_rank} and the encoder "
            f"takes examples of shape {event}. Use {name_of(inner)}(event_rank={len(event)}, ...)."
        )
    likelihood.check_channels(event[-1])
    expected = (*event[:-1], likelihood.params_size(event[-1]))
    if vae.decoder.output_shape[1:] != expected:
        raise ValueError(
            f"The likelihood {name_of(likelihood)} takes parameters of shape {expected} for examples of "
            f"shape {event}. Received a decoder with output {vae.decoder.output_shape[1:]}."
        )


def check_batch(vae: "VAE", batch, asked: dict[str, keras.KerasTensor]) -> None:
    """Raises `ValueError` where data (NumPy arrays, or a dict of them) are not what a model takes.

    Args:
        vae: the model.
        batch: x, or a dict with x.
        asked: what else is needed: input name -> symbolic input.
    """
    entries = batch if isinstance(batch, dict) else {"x": batch}
    if missing := {"x", *asked} - set(entries):
        raise ValueError(
            f"The networks ask for {sorted({'x', *asked})} and the batch holds {sorted(entries)}: "
            f"{sorted(missing)} is missing. Pass a dict with an entry for every input name."
        )
    x = entries["x"]
    if x.dtype.kind not in "buif":
        raise ValueError(f"The data have to be numbers. Received dtype {x.dtype}.")
    if x.ndim == 0 or tuple(x.shape[1:]) != vae.event_shape:
        raise ValueError(
            f"The model takes examples of shape {vae.event_shape} (with a batch axis first). "
            f"Received data of shape {tuple(x.shape)}."
        )
    if len(x) == 0:
        raise ValueError("The data are empty: they hold no example.")
    for name, tensor in asked.items():
        _check_entry(name, entries[name], (len(x), *tensor.shape[1:]), tensor.dtype)
        _check_label(vae, name, entries[name])
    for name, value in entries.items():
        if value.dtype.kind not in "buif":
            raise ValueError(
                f"The entry {name!r} has dtype {value.dtype}, which is no number. No network asks for it: leave "
                "it out."
            )
    observed = np.array(True)
    if (mask := entries.get("mask")) is not None:
        fits = mask.ndim == x.ndim and len(mask) == len(x)
        if not fits or any(m not in (1, n) for m, n in zip(mask.shape, x.shape, strict=True)):
            raise ValueError(
                f"The mask has to be like x, {x.shape}, or 1 along axes after the first. "
                f"Received {mask.shape}."
            )
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("The mask has to hold 0 (missing) or 1 (observed) only.")
        observed = np.asarray(mask, bool)
        x = np.where(observed, x, 0)
    finite = np.isfinite(x)
    if not finite.all():
        raise ValueError(
            f"The data hold {np.size(x) - finite.sum()} NaN or infinite values, the first at index "
            f"{tuple(int(i) for i in np.argwhere(~finite)[0])}. Replace them, or mark them as missing "
            'with a dict batch {"x": ..., "mask": ...}.'
        )
    inside = np.asarray(vae.likelihood.contains(tf.constant(x, tf.float32))) | ~observed
    if not inside.all():
        raise ValueError(
            outside_support(
                vae,
                f"{np.mean(~inside):.1%} of the values received are not, such as {x[~inside].flat[0]!s}.",
            )
        )


def outside_support(vae: "VAE", found: str = "") -> str:
    """What the likelihood is defined for, what was found, and what to do about it."""
    likelihood = vae.likelihood
    defined = f"The likelihood {name_of(likelihood)} is defined for {likelihood.support}."
    return " ".join(filter(None, [defined, found, likelihood.remedy]))


def are_valid(vae: "VAE", entries: dict[str, tf.Tensor]) -> tf.Tensor:
    """Whether all of x (zero where a mask hides it) is finite and what is observed in the support, masks are
    0 or 1 and conditions finite: bool, in a graph.
    """
    x = tf.cast(entries["x"], tf.float32)
    inside, valid = vae.likelihood.contains(x), tf.constant(True)
    if "mask" in entries:
        mask = tf.cast(entries["mask"], tf.float32)
        inside |= mask == 0.0
        valid = tf.reduce_all((mask == 0.0) | (mask == 1.0))
    valid &= tf.reduce_all(inside)
    for name in vae.side_inputs:
        if entries[name].dtype.is_floating:
            valid &= tf.reduce_all(tf.math.is_finite(entries[name]))
        if num_classes := vae.labels.get(name):
            label = tf.cast(entries[name], tf.float32)
            valid &= tf.reduce_all(
                (label >= 0) & (label < num_classes) & (label == tf.floor(label))
            )
    return valid


def checked_conditions(vae: "VAE", num_rows: int, given: dict[str, Any]) -> dict[str, np.ndarray]:
    """The decoder's conditions as arrays [num_rows, ...], from one value for all or one for each."""
    if set(given) != set(vae.conditions):
        raise ValueError(
            f"The decoder asks for the conditions {sorted(vae.conditions)}. Received: {sorted(given)}"
        )
    batch = {}
    for name, value in given.items():
        expected = (num_rows, *vae.conditions[name].shape[1:])
        try:
            batch[name] = np.broadcast_to(np.asarray(value), expected)
        except ValueError:
            raise ValueError(
                f"The condition {name!r} has to be one value of shape {expected[1:]} or an array of shape "
                f"{expected}. Received shape {np.shape(value)}."
            ) from None
        _check_entry(name, batch[name], expected, vae.conditions[name].dtype)
        _check_label(vae, name, batch[name])
    return batch


def _check_label(vae: "VAE", name: str, value: np.ndarray) -> None:
    num_classes = vae.labels.get(name)
    if num_classes and ((value < 0) | (value >= num_classes)).any():
        outside = value[(value < 0) | (value >= num_classes)]
        raise ValueError(
            f"The condition {name!r} is a label in 0 ... {num_classes - 1}, the classes that the model was "
            f"built for. Received: {outside.flat[0]}"
        )


def _check_entry(name: str, value: np.ndarray, expected: tuple[int, ...], dtype: str) -> None:
    problem = ""
    if value.shape != expected:
        problem = f"shape {value.shape}"
    elif value.dtype.kind not in "buif":
        problem = f"dtype {value.dtype}"
    elif not np.isfinite(value).all():
        problem = "NaN or infinite values"
    elif tf.as_dtype(dtype).is_integer and (value != np.floor(value)).any():
        problem = "fractions, and the network takes integers"
    if problem:
        raise ValueError(
            f"The entry {name!r} has to be finite numbers of shape {expected}. Received {problem}."
        )
