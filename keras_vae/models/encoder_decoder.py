from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import check_count, check_known, name_of
from keras_vae.models._base import LatentVariableModel
from keras_vae.models._batches import as_arrays, num_rows
from keras_vae.models._checks import (
    are_valid,
    check_batch,
    check_network,
    check_parts,
    checked_conditions,
    outside_support,
)
from keras_vae.models._paths import LEAVES, PATHS
from keras_vae.networks import call_by_name, labels_of, over_samples, widest_layer
from keras_vae.noise import as_seed, normals
from keras_vae.objectives import ELBO, Objective
from keras_vae.posteriors import Normal, Posterior
from keras_vae.priors import Prior, StandardNormal

tfd = tfp.distributions

_ROWS = 500  # examples per pass where arrays of any length are taken


class EncoderDecoder(LatentVariableModel):
    """Base of the models with one level of latents, an encoder and a decoder."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example x."""
        return tuple(_input(self.encoder, "x").shape[1:])

    @property
    def latent_dim(self) -> int:
        return self.prior.latent_dim

    @property
    def conditions(self) -> dict[str, keras.KerasTensor]:
        """What generating asks for, in the decoder and in the prior: input name -> symbolic input."""
        return self.decoder_conditions | self.prior.conditions

    @property
    def decoder_conditions(self) -> dict[str, keras.KerasTensor]:
        """What the decoder asks for beside z: input name -> symbolic input."""
        return {
            t.name: t for t in self.decoder.inputs if t.name != "z" and len(self.decoder.inputs) > 1
        }

    @property
    def labels(self) -> dict[str, int]:
        """Which of the conditions are labels: input name -> number of classes."""
        networks = (self.encoder, self.decoder, self.prior.network)
        return {
            name: num_classes
            for network in networks
            if network is not None
            for name, num_classes in labels_of(network).items()
        }

    @property
    def encoder_conditions(self) -> dict[str, keras.KerasTensor]:
        """What the encoder asks for beside x: input name -> symbolic input."""
        return {
            t.name: t for t in self.encoder.inputs if t.name != "x" and len(self.encoder.inputs) > 1
        }

    @property
    def side_inputs(self) -> dict[str, keras.KerasTensor]:
        """What networks and prior ask a batch for beside x and z: input name -> symbolic input."""
        return self.encoder_conditions | self.conditions

    # Distributions.

    def encode(self, batch, *, training=False) -> tf.Tensor:
        """The posterior's parameters [B, params_size] for a batch."""
        return call_by_name(self.encoder, "x", entries_of(batch), training=training)

    def infer(self, batch, num_samples=None, *, training=False, seed=None):
        params = self.encode(batch, training=training)
        return self.sampling.draw(self.now(self.posterior), params, num_samples, seed)

    def decode_params(self, z, batch=None, *, training=False) -> tf.Tensor:
        """The likelihood's parameters for z [..., B, D]; `batch` holds what a conditional decoder
        asks for.
        """
        return over_samples(
            self.decoder, z, batch if isinstance(batch, dict) else {}, training=training
        )

    def decode(self, z, batch=None) -> tfd.Distribution:
        """p(x|z) for z [..., B, D]; `batch` holds what a conditional decoder asks for, [B, ...] each."""
        asked = self.decoder_conditions
        if missing := set(asked) - set(batch if isinstance(batch, dict) else ()):
            raise ValueError(
                f"The decoder also asks for {sorted(asked)}: pass them as the second "
                f"argument, a dict. {sorted(missing)} is missing."
            )
        num_rows = {name: len(batch[name]) for name in asked}
        if set(num_rows.values()) - {np.shape(z)[-2]}:
            raise ValueError(
                f"Every z has its own conditions. Received z of shape {tuple(np.shape(z))} and conditions for "
                f"{num_rows} rows."
            )
        return self.now(self.likelihood).distribution(self.decode_params(z, batch))

    def prior_over(self, batch):
        return self.prior.distribution(batch)

    @property
    def inference_noise_size(self) -> int:
        """Number of standard normals that `infer_from` takes for one z."""
        return self.now(self.posterior).noise_size(self.latent_dim)

    def infer_from(self, batch, noise) -> tuple[tfd.Distribution, tf.Tensor]:
        """`infer`, its z made of the standard normals given, [..., B, inference_noise_size]."""
        posterior, params = self.now(self.posterior), self.encode(batch)
        return posterior.push_forward(params, noise)

    def expected(self, batch, z, *, training=False) -> tf.Tensor:
        """`Likelihood.expected` of p(x|z): what may be averaged over several z [K, B, D]."""
        params = self.decode_params(z, batch, training=training)
        return self.now(self.likelihood).expected(params)

    def draw(self, batch, z, seed) -> tf.Tensor:
        """One x ~ p(x|z) for every z [..., B, D]; `seed` is int32 [2]."""
        return self.now(self.likelihood).sample(self.decode_params(z, batch), seed)

    def call(self, batch, training=False):
        """What p(x|z) shows at the posterior's location: the deterministic reconstruction, like x."""
        z = self.now(self.posterior).location(self.encode(batch, training=training))
        return self.now(self.likelihood).location(self.decode_params(z, batch, training=training))

    # Arrays.

    def embed(self, x, *, with_stddev: bool = False) -> np.ndarray:
        """The posterior's location for every example, [N, latent_dim].

        Args:
            x: examples [N, *event]; a dict batch for a conditional encoder.
            with_stddev: whether the posterior's standard deviation stands behind the location,
                [N, 2 latent_dim].

        Raises:
            ValueError: where the posterior has no standard deviation in closed form.
        """
        posterior = self.now(self.posterior)

        def embedded(batch):
            params = self.encode(batch)
            location = posterior.location(params)
            if not with_stddev:
                return location
            if (stddev := posterior.stddev(params)) is None:
                raise ValueError(
                    f"{name_of(posterior)} has no standard deviation in closed form. Embed without it, or choose a "
                    "posterior that has one, such as Normal or MultivariateNormal."
                )
            return tf.concat([location, stddev], axis=-1)

        return self._in_chunks(embedded, x, self.encoder_conditions)

    def reconstruct(self, x) -> np.ndarray:
        """Every example encoded and decoded again, without noise: like x."""
        return self._in_chunks(self.call, x, self.encoder_conditions | self.decoder_conditions)

    def show(self, z, **conditions) -> np.ndarray:
        """What p(x|z) shows at given latents, without noise: the way back from `embed`.

        Args:
            z: [N, latent_dim], or [N, K, latent_dim] for K points of every row.
            **conditions: for a conditional decoder, one value for all or [N, ...], by input name.

        Returns:
            [N, *event], or [N, K, *event].
        """
        z = np.asarray(z, np.float32)
        if z.ndim not in (2, 3) or z.shape[-1] != self.latent_dim or z.size == 0:
            raise ValueError(
                f"Latents have the shape (N, {self.latent_dim}) or (N, K, {self.latent_dim}), N > 0. "
                f"Received: {z.shape}"
            )
        if not np.isfinite(z).all():
            raise ValueError("The latents hold NaN or infinite values. Expected finite numbers.")
        batch = checked_conditions(self, len(z), conditions)
        likelihood = self.now(self.likelihood)

        def decoded(rows):
            z, conditions = rows
            points = tf.reshape(z, [-1, self.latent_dim])
            each = points.shape[0] // z.shape[0]
            repeated = {name: tf.repeat(value, each, axis=0) for name, value in conditions.items()}
            shown = likelihood.location(self.decode_params(points, repeated))
            return tf.reshape(shown, [*z.shape[:-1], *shown.shape[1:]])

        return _map_rows(decoded, (z, batch), len(z))

    def generate(self, num_samples: int, seed=0, **conditions) -> np.ndarray:
        """New examples [num_samples, *event]: what p(x|z) shows at z ~ p(z).

        A pure function of the weights and the seed: the first n do not depend on `num_samples`,
        training draws are left alone, and the exported files give the same ones.

        Args:
            num_samples: how many, at least 1.
            seed: an integer, or a pair of 32-bit integers.
            **conditions: for a conditional decoder, one value for all or [num_samples, ...], by
                input name.
        """
        check_count("generate", num_samples=num_samples)
        batch = checked_conditions(self, int(num_samples), conditions)
        noise = normals(as_seed(seed), int(num_samples), self.prior.noise_size)

        likelihood = self.now(self.likelihood)

        def show(rows):
            noise, conditions = rows
            z = self.prior.transform(noise, conditions)
            return likelihood.location(self.decode_params(z, conditions))

        return _map_rows(show, (noise.numpy(), batch), int(num_samples))

    def generate_like(self, batch, seed=0) -> np.ndarray:
        """As many new examples as the batch has, under its conditions: `generate` with an example's own.

        Args:
            batch: examples [N, *event], or a dict with what `conditions` names.
            seed: as of `generate`.
        """
        given = {name: batch[name] for name in self.conditions}
        return self.generate(num_rows(batch), seed, **given)

    def interpolate(self, a, b, steps: int = 8, path: str = "linear", **conditions) -> np.ndarray:
        """A way through latent space from each example of `a` to its partner in `b`.

        Args:
            a, b: [N, *event] each; dicts with what a conditional encoder asks for, where that is not
                in `conditions`.
            steps: number of points on each way, both ends included; at least 2.
            path: "linear", the straight line, or "spherical": the direction turns on a great circle
                at constant speed and the length changes evenly, so that no point is nearer to zero
                than the nearer of its ends. Under N(0, I) in many dimensions the middle of a line is
                too short to be a sample; an arc is not. Latents on a sphere take the arc, those on a
                simplex the line.
            **conditions: for a conditional model, one value for all or [N, ...], by input name: what
                all the points of a way are decoded under.

        Returns:
            [N, steps, *event].

        References:
            White, Sampling Generative Networks, 2016, arXiv:1609.04468, section 2.1 (spherical).
        """
        check_count("interpolate", least=2, steps=steps)
        check_known("path", path, PATHS)
        if self.prior.support == LEAVES[path]:
            (other,) = set(PATHS) - {path}
            raise ValueError(
                f"The path {path!r} leaves the {self.prior.support} that {name_of(self.prior)} has its density on. "
                f"Choose the path {other!r}."
            )
        start, end = (self.embed(self._with_conditions(ends, conditions)) for ends in (a, b))
        if start.shape != end.shape:
            raise ValueError(
                f"Each example needs a partner. Received {len(start)} and {len(end)} examples."
            )
        ways = PATHS[path](start, end, np.linspace(0.0, 1.0, steps, dtype=np.float32))
        return self.show(ways, **conditions)

    def _with_conditions(self, x, conditions: dict):
        """x, with those of the conditions that the encoder asks for and x does not hold."""
        batch = as_arrays(x)
        entries = batch if isinstance(batch, dict) else {"x": batch}
        added = {
            name: np.broadcast_to(conditions[name], (len(entries["x"]), *tensor.shape[1:]))
            for name, tensor in self.encoder_conditions.items()
            if name in conditions and name not in entries
        }
        return {**entries, **added} if added else batch

    def _in_chunks(self, function, x, asked):
        batch = as_arrays(x)
        check_batch(self, batch, asked)
        return _map_rows(function, batch, num_rows(batch))

    # Checks.

    def check(self):
        check_parts(self, _input(self.decoder, "z").shape[-1])

    def check_batch(self, batch):
        check_batch(self, batch, self.side_inputs)

    @property
    def measure(self):
        return self.likelihood.measure

    @property
    def widest_layer(self):
        return max(widest_layer(self.decoder), self.prior.widest_layer)

    def are_valid(self, batch):
        return are_valid(self, entries_of(batch))

    @property
    def data_needed(self):
        return outside_support(self)


def with_defaults(
    encoder: keras.Model,
    decoder: keras.Model,
    posterior: Posterior | None,
    prior: Prior | None,
    objective: Objective | None,
) -> dict[str, Any]:
    """The parts by name, with defaults for those that have some."""
    check_network("encoder", encoder, "x")
    check_network("decoder", decoder, "z")
    return {
        "encoder": encoder,
        "decoder": decoder,
        "posterior": Normal() if posterior is None else posterior,
        "prior": StandardNormal(_input(decoder, "z").shape[-1]) if prior is None else prior,
        "objective": ELBO() if objective is None else objective,
    }


def entries_of(batch) -> dict:
    """The batch as a dict; elements of "x" that its "mask" marks as missing are zero from here on."""
    if not isinstance(batch, dict):
        return {"x": batch}
    if "mask" not in batch:
        return batch
    entries = {name: tf.convert_to_tensor(entry) for name, entry in batch.items()}
    x, observed = entries["x"], tf.cast(entries["mask"], tf.bool)
    return {**entries, "x": tf.where(observed, x, tf.zeros_like(x))}


def _input(network, name: str) -> keras.KerasTensor:
    """The input of that name; the only input, whatever its name, of a network that has one."""
    if len(network.inputs) == 1:
        return network.inputs[0]
    return next(tensor for tensor in network.inputs if tensor.name == name)


def _map_rows(function, batch, num_rows: int) -> np.ndarray:
    """`function` over the rows of a batch of NumPy arrays, `_ROWS` at a time."""

    def rows_from(start):
        return tf.nest.map_structure(lambda array: tf.constant(array[start : start + _ROWS]), batch)

    return np.concatenate(
        [np.asarray(function(rows_from(start))) for start in range(0, num_rows, _ROWS)]
    )
