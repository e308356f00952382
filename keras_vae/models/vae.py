import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import name_of, register
from keras_vae.likelihoods import Likelihood
from keras_vae.models._base import LatentVariableModel
from keras_vae.networks import call_by_name, input_names, over_samples
from keras_vae.noise import as_seed, normals
from keras_vae.objectives import ELBO, Objective
from keras_vae.posteriors import Normal, Posterior
from keras_vae.priors import Prior, StandardNormal

tfd = tfp.distributions

_ROWS = 500  # examples per pass where arrays of any length are taken


@register
class VAE(LatentVariableModel):
    """A variational autoencoder with one level of latents: six parts, any combination that fits.

        x -> encoder -> posterior -> z        training, `infer`, `embed`
        prior -> z -> decoder -> likelihood   `generate`

    Conditional models need no other class: an encoder or decoder with several inputs gets the
    entries of a dict batch that its inputs are named after ("x" and "z" are the data and the
    latents). A "mask" entry marks which elements of "x" are observed.

    Args:
        encoder: `keras.Model`, x [B, *event] -> [B, posterior.params_size(latent_dim)].
        decoder: `keras.Model`, z [B, latent_dim] -> [B, *event with its last axis multiplied].
        likelihood: p(x|z); has to suit the data, so there is no default.
        posterior: q(z|x); diagonal `posteriors.Normal` by default.
        prior: p(z); `priors.StandardNormal` of the decoder's input size by default.
        objective: what training minimises; `objectives.ELBO` by default.
        seed: integer, of every draw in training.

    Raises:
        ValueError: where parts do not fit each other; the message names both.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> encoder, decoder = networks.mlp(784, latent_dim=20)
        >>> vae = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
        >>> vae.generate(4, seed=7).shape
        (4, 784)

    References:
        Kingma and Welling, Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114.
    """

    parts = ("encoder", "decoder", "likelihood", "posterior", "prior", "objective")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        likelihood: Likelihood,
        posterior: Posterior | None = None,
        prior: Prior | None = None,
        objective: Objective | None = None,
        seed: int = 0,
        name: str | None = None,
    ):
        _check_network("encoder", encoder, "x")
        _check_network("decoder", decoder, "z")
        parts = {
            "encoder": encoder,
            "decoder": decoder,
            "likelihood": likelihood,
            "posterior": posterior or Normal(),
            "prior": prior or StandardNormal(_input(decoder, "z").shape[-1]),
            "objective": objective or ELBO(),
        }
        super().__init__(parts=parts, seed=seed, name=name)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example x."""
        return tuple(_input(self.encoder, "x").shape[1:])

    @property
    def latent_dim(self) -> int:
        return self.prior.latent_dim

    @property
    def conditions(self) -> dict[str, keras.KerasTensor]:
        """What the decoder asks for beside z: input name -> symbolic input."""
        return {
            t.name: t for t in self.decoder.inputs if t.name != "z" and len(self.decoder.inputs) > 1
        }

    @property
    def side_inputs(self) -> dict[str, keras.KerasTensor]:
        """What the networks ask a batch for beside x and z: input name -> symbolic input."""
        inputs = self.encoder.inputs if len(self.encoder.inputs) > 1 else []
        return {t.name: t for t in inputs if t.name != "x"} | self.conditions

    # Distributions.

    def encode(self, batch, *, training=False) -> tf.Tensor:
        """The posterior's parameters [B, params_size] for a batch."""
        return call_by_name(self.encoder, "x", _entries(batch), training=training)

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
        """p(x|z) for z [..., B, D]."""
        return self.now(self.likelihood).distribution(self.decode_params(z, batch))

    def log_likelihood(self, batch, z, *, training=False):
        entries = _entries(batch)
        params = self.decode_params(z, batch, training=training)
        return self.now(self.likelihood).log_prob(
            params, entries["x"], mask=entries.get("mask"), training=training
        )

    def prior_over(self, batch):
        return self.prior.distribution(batch)

    def call(self, batch, training=False):
        """What p(x|z) shows at the posterior's location: the deterministic reconstruction, like x."""
        z = self.now(self.posterior).location(self.encode(batch, training=training))
        return self.now(self.likelihood).location(self.decode_params(z, batch, training=training))

    # Arrays.

    def embed(self, x) -> np.ndarray:
        """The posterior's location for every example, [N, latent_dim]."""
        posterior = self.now(self.posterior)
        return self._in_chunks(lambda batch: posterior.location(self.encode(batch)), x)

    def reconstruct(self, x) -> np.ndarray:
        """Every example encoded and decoded again, without noise: like x."""
        return self._in_chunks(self.call, x)

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
        if not isinstance(num_samples, int | np.integer) or num_samples < 1:
            raise ValueError(
                f'Invalid value received for argument "num_samples". Expected an integer of at least 1. '
                f"Received: {num_samples!r}"
            )
        batch = self._check_conditions(int(num_samples), conditions)
        noise = normals(as_seed(seed), int(num_samples), self.prior.noise_size)

        likelihood = self.now(self.likelihood)

        def show(rows):
            noise, conditions = rows
            z = self.prior.transform(noise, conditions)
            return likelihood.location(self.decode_params(z, conditions))

        return _map_rows(show, (noise.numpy(), batch))

    def interpolate(self, a, b, steps: int = 8) -> np.ndarray:
        """A straight line in latent space from each example of `a` to its partner in `b`.

        Args:
            a, b: [N, *event] each, for an unconditional model.
            steps: number of points on each line, both ends included; at least 2.

        Returns:
            [N, steps, *event].
        """
        if steps < 2:
            raise ValueError(f"A line has at least 2 points. Received: steps={steps}")
        if self.conditions:
            raise ValueError(
                f"The decoder also asks for {list(self.conditions)}: interpolate between embeddings and use "
                "`decode`, which takes them."
            )
        start, end = self.embed(a), self.embed(b)
        if start.shape != end.shape:
            raise ValueError(
                f"Each example needs a partner. Received {len(start)} and {len(end)} examples."
            )
        weights = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, np.newaxis]
        z = start[:, np.newaxis] * (1 - weights) + end[:, np.newaxis] * weights
        likelihood = self.now(self.likelihood)
        return _map_rows(lambda rows: likelihood.location(self.decode_params(rows)), z)

    def _in_chunks(self, function, x):
        batch = tf.nest.map_structure(np.asarray, x)
        self.check_batch(batch)
        return _map_rows(function, batch)

    # Checks.

    def check(self):
        posterior, prior, likelihood = self.posterior, self.prior, self.likelihood
        for part, value, kind in (
            ("posterior", posterior, Posterior),
            ("prior", prior, Prior),
            ("likelihood", likelihood, Likelihood),
            ("objective", self.objective, Objective),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"{part} has to be a {kind.__name__}. Received: {value!r}")
        if posterior.support != prior.support:
            raise ValueError(
                f"{name_of(posterior)} draws z on the support {posterior.support!r} and {name_of(prior)} has "
                f"its density on {prior.support!r}. Choose a posterior and a prior on the same support."
            )
        latent_dim = _input(self.decoder, "z").shape[-1]
        if latent_dim != prior.latent_dim:
            raise ValueError(
                f"The decoder takes z of size {latent_dim} and the prior {name_of(prior)} has "
                f"latent_dim={prior.latent_dim}. They have to be equal."
            )
        expected = posterior.params_size(prior.latent_dim)
        if self.encoder.output_shape[1:] != (expected,):
            raise ValueError(
                f"The posterior {name_of(posterior)} takes {expected} parameters for latent_dim="
                f"{prior.latent_dim}, so the encoder's output has to be (batch, {expected}). "
                f"Received an encoder with output {self.encoder.output_shape}."
            )
        event = self.event_shape
        if likelihood.event_rank != len(event):
            raise ValueError(
                f"The likelihood {name_of(likelihood)} has event_rank={likelihood.event_rank} and the encoder "
                f"takes examples of shape {event}. Use {name_of(likelihood)}(event_rank={len(event)}, ...)."
            )
        expected = (*event[:-1], likelihood.params_size(event[-1]))
        if self.decoder.output_shape[1:] != expected:
            raise ValueError(
                f"The likelihood {name_of(likelihood)} takes parameters of shape {expected} for examples of "
                f"shape {event}. Received a decoder with output {self.decoder.output_shape[1:]}."
            )

    def check_batch(self, batch):
        entries = batch if isinstance(batch, dict) else {"x": batch}
        asked = self.side_inputs
        if missing := {"x", *asked} - set(entries):
            raise ValueError(
                f"The networks ask for {sorted({'x', *asked})} and the batch holds {sorted(entries)}: "
                f"{sorted(missing)} is missing. Pass a dict with an entry for every input name."
            )
        x, mask = entries["x"], entries.get("mask")
        if x.dtype.kind not in "buif":
            raise ValueError(f"The data have to be numbers. Received dtype {x.dtype}.")
        if tuple(x.shape[1:]) != self.event_shape:
            raise ValueError(
                f"The model takes examples of shape {self.event_shape} (with a batch axis first). "
                f"Received data of shape {tuple(x.shape)}."
            )
        if len(x) == 0:
            raise ValueError("The data are empty: they hold no example.")
        for name, tensor in asked.items():
            expected = (len(x), *tensor.shape[1:])
            if entries[name].shape != expected or not np.isfinite(entries[name]).all():
                raise ValueError(
                    f"The entry {name!r} has to be finite numbers of shape {expected}. "
                    f"Received shape {entries[name].shape}"
                    + ("." if entries[name].shape != expected else ", with NaN or infinite values.")
                )
        if mask is not None:
            if mask.ndim != x.ndim or any(
                m not in (1, n) for m, n in zip(mask.shape, x.shape, strict=True)
            ):
                raise ValueError(
                    f"The mask has to be like x, {x.shape}, or 1 along some axes. Received {mask.shape}."
                )
            x = np.where(np.asarray(mask, bool), x, 0)
        finite = np.isfinite(x)
        if not finite.all():
            raise ValueError(
                f"The data hold {np.size(x) - finite.sum()} NaN or infinite values, the first at index "
                f"{tuple(int(i) for i in np.argwhere(~finite)[0])}. Replace them, or mark them as missing "
                'with a dict batch {"x": ..., "mask": ...}.'
            )
        inside = self.likelihood.contains(x)
        if not inside.all():
            raise ValueError(
                f"The likelihood {name_of(self.likelihood)} is defined for {self.likelihood.support}. "
                f"{np.mean(~inside):.1%} of the values received are not, such as {x[~inside].flat[0]!s}. "
                "Grey images: load them under the protocol 'dynamic' or 'static' for Bernoulli, or keep "
                "'grey' and use ContinuousBernoulli or Normal."
            )

    def _check_conditions(self, num_samples: int, given: dict) -> dict[str, np.ndarray]:
        """The decoder's conditions as arrays [num_samples, ...]."""
        if set(given) != set(self.conditions):
            raise ValueError(
                f"The decoder asks for the conditions {sorted(self.conditions)}. Received: {sorted(given)}"
            )
        batch = {}
        for name, value in given.items():
            expected = (num_samples, *self.conditions[name].shape[1:])
            try:
                batch[name] = np.broadcast_to(np.asarray(value), expected)
            except ValueError:
                raise ValueError(
                    f"The condition {name!r} has to be one value of shape {expected[1:]} or an array of shape "
                    f"{expected}. Received shape {np.shape(value)}."
                ) from None
        return batch


def _entries(batch) -> dict:
    """The batch as a dict; elements of "x" that its "mask" marks as missing are zero from here on."""
    if not isinstance(batch, dict):
        return {"x": batch}
    if "mask" not in batch:
        return batch
    x, observed = batch["x"], tf.cast(batch["mask"], tf.bool)
    return {**batch, "x": tf.where(observed, x, tf.zeros_like(x))}


def _input(network, name: str) -> keras.KerasTensor:
    """The input of that name; the only input, whatever its name, of a network that has one."""
    if len(network.inputs) == 1:
        return network.inputs[0]
    return next(tensor for tensor in network.inputs if tensor.name == name)


def _check_network(role: str, network, main_input: str):
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


def _map_rows(function, batch) -> np.ndarray:
    """`function` over all rows of a batch of NumPy arrays, `_ROWS` at a time."""
    num_rows = len(tf.nest.flatten(batch)[0])

    def rows_from(start):
        return tf.nest.map_structure(lambda array: tf.constant(array[start : start + _ROWS]), batch)

    return np.concatenate(
        [np.asarray(function(rows_from(start))) for start in range(0, num_rows, _ROWS)]
    )
