"""What a model serves: pure functions with named inputs and outputs, for every export format."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae.estimators import kl_divergence
from keras_vae.export._audit import refuse_random_ops
from keras_vae.models import VAE
from keras_vae.noise import normals

tfd = tfp.distributions

__all__ = [
    "Detection",
    "endpoints",
    "input_specs",
    "output_specs",
    "row_score",
    "row_specs",
    "trace",
]

Specs: TypeAlias = dict[str, tf.TensorSpec]
Outputs: TypeAlias = dict[str, tf.Tensor]
Endpoint: TypeAlias = tuple[Callable[..., Outputs], Specs]


class Detection(Protocol):
    """What flags anomalies, as far as an export is concerned: `applications.Detector` is one."""

    @property
    def seed(self) -> list[int]:
        """Two words: with this seed the exported score is the detector's."""
        ...

    def of_batch(self, batch, seed: tf.Tensor) -> tf.Tensor:
        """The score of every row of a batch of tensors, float32 [B]; higher = more anomalous."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Score and threshold, for the metadata."""
        ...


def endpoints(
    vae: VAE,
    names: Sequence[str] | None = None,
    *,
    batch_size: int | None = None,
    num_samples: int | None = None,
    detector: Detection | None = None,
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces what a model serves; nothing is drawn but from the seed that a call is given.

        encode       x [B, *event]                  -> location [B, D]; stddev [B, D] if q has one
        decode       z [B, D]                       -> mean [B, *event]; stddev likewise
        reconstruct  x [B, *event]                  -> mean [B, *event]
        generate     num_samples [], seed int32 [2] -> mean [num_samples, *event]
        score        x [B, *event], seed int32 [2]  -> elbo, distortion, rate [B], in nats

    `mean` is what the likelihood shows for p(x|z): its mean, or (`Categorical`) the most probable
    category. A likelihood has a `stddev` if it has a scale. `reconstruct` is the deterministic one,
    `generate` is `vae.generate`, and `score` draws one z per example; with a detector it also
    gives `anomaly_score` [B], of as many draws as the detector's, the same ones for every row. Of an
    autoencoder, whose posterior has no density, there is no `score`.
    Whatever else the encoder or the decoder asks for is one more input, under the name and with the
    type of the `keras.Input`; all other numbers are float32, whatever the networks compute in.

    Args:
        vae: the model.
        names: which endpoints to trace; all by default.
        batch_size: number of rows that every call takes; any by default.
        num_samples: number of examples that every call of `generate` gives; by default the caller
            says how many.
        detector: an `applications.Detector` of this model.

    Returns:
        Concrete functions by name, called with keywords: `decode(z=...)["mean"]`; `input_specs`
        gives the `tf.TensorSpec` of each input.

    Raises:
        ValueError: for unknown names, for inputs whose names cannot be served, and where a network
            draws random numbers; the message names the signature, the op and the layer.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(784, latent_dim=20), likelihood=likelihoods.Bernoulli())
        >>> generate = endpoints(vae, ["generate"])["generate"]
        >>> generate(num_samples=tf.constant(4), seed=tf.constant([7, 0]))["mean"].shape
        TensorShape([4, 784])
    """
    served = {
        "encode": _encode(vae, batch_size),
        "decode": _decode(vae, batch_size),
        "reconstruct": _reconstruct(vae, batch_size),
        "generate": _generate(vae, num_samples),
    }
    if vae.posterior.has_density:
        served["score"] = _score(vae, batch_size, detector)
    names = list(served) if names is None else names
    if unknown := set(names) - set(served):
        raise ValueError(f"There is no endpoint {sorted(unknown)}. Expected: {list(served)}")
    return {name: trace(name, *served[name]) for name in names}


def trace(
    name: str, function: Callable[..., Outputs], specs: Specs
) -> tf.types.experimental.ConcreteFunction:
    """The function of keywords with these specs, giving float32; refused if it draws by itself."""

    def served(**inputs):
        return {key: tf.cast(value, tf.float32) for key, value in function(**inputs).items()}

    traced = tf.function(served).get_concrete_function(**specs)
    refuse_random_ops(name, traced)
    return traced


def input_specs(function: tf.types.experimental.ConcreteFunction) -> Specs:
    """The inputs of an endpoint by name."""
    return function.structured_input_signature[1]  # pyright: ignore[reportAttributeAccessIssue]


def output_specs(function: tf.types.experimental.ConcreteFunction) -> Specs:
    """The outputs of an endpoint by name."""
    return function.structured_outputs  # pyright: ignore[reportAttributeAccessIssue]


def row_specs(vae: VAE, num_rows: int | None) -> tuple[Specs, Specs]:
    """What the encoder and what the decoder take, for a number of rows or (None) any: specs by name."""
    inputs = vae.encoder.inputs if len(vae.encoder.inputs) > 1 else []
    x = {"x": tf.TensorSpec((num_rows, *vae.event_shape), tf.float32)}
    z = {"z": tf.TensorSpec((num_rows, vae.latent_dim), tf.float32)}
    for_encoder = {t.name: _spec(t, num_rows) for t in inputs if t.name != "x"}
    for_decoder = {name: _spec(t, num_rows) for name, t in vae.decoder_conditions.items()}
    return _joined(x, for_encoder), _joined(z, for_decoder)


def _all_specs(vae: VAE, num_rows: int | None, asked: Iterable[str] = ()) -> Specs:
    """Specs of x and of what the networks ask for beside it, and of `asked` besides."""
    for_encoder, for_decoder = row_specs(vae, num_rows)
    beside = {name: spec for name, spec in for_decoder.items() if name != "z"}
    beside |= {name: _spec(vae.side_inputs[name], num_rows) for name in asked}
    return for_encoder | beside


def _encode(vae: VAE, num_rows: int | None) -> Endpoint:
    def encode(**batch):
        posterior, params = vae.now(vae.posterior), vae.encode(batch)
        stddev = posterior.stddev(params)
        scale = {} if stddev is None else {"stddev": stddev}
        return {"location": posterior.location(params)} | scale

    return encode, row_specs(vae, num_rows)[0]


def _decode(vae: VAE, num_rows: int | None) -> Endpoint:
    def decode(z, **conditions):
        likelihood, params = vae.now(vae.likelihood), vae.decode_params(z, conditions)
        stddev = likelihood.stddev(params)
        scale = {} if stddev is None else {"stddev": stddev}
        return {"mean": likelihood.location(params)} | scale

    return decode, row_specs(vae, num_rows)[1]


def _reconstruct(vae: VAE, num_rows: int | None) -> Endpoint:
    def reconstruct(**batch):
        return {"mean": vae.call(batch)}

    return reconstruct, _all_specs(vae, num_rows)


def _generate(vae: VAE, fixed: int | None) -> Endpoint:
    def generate(seed, num_samples: Any = fixed, **conditions):
        noise = normals(_pair(seed), num_samples, vae.prior.noise_size)
        params = vae.decode_params(vae.prior.transform(noise, conditions), conditions)
        return {"mean": vae.now(vae.likelihood).location(params)}

    number = {} if fixed is not None else {"num_samples": tf.TensorSpec((), tf.int32)}
    conditions = {name: _spec(tensor, fixed) for name, tensor in vae.conditions.items()}
    return generate, _joined(number | _SEED, conditions)


def row_score(vae: VAE, num_rows: int | None, detector: Detection) -> Endpoint:
    """A `score` whose outputs do not depend on the row's place: a file may take any part of a batch."""

    def score(seed, **batch):
        whole = batch["x"] if set(batch) == {"x"} else batch
        return {"anomaly_score": detector.of_batch(whole, _pair(seed))}

    return score, _joined(_SEED, _all_specs(vae, num_rows, vae.prior.conditions))


def _score(vae: VAE, num_rows: int | None, detector: Detection | None) -> Endpoint:
    def score(seed, **batch):
        rows = tf.shape(batch["x"])[0]
        q, z = vae.infer_from(batch, normals(_pair(seed), rows, vae.inference_noise_size))
        distortion = -vae.log_likelihood(batch, z)
        rate = kl_divergence(q, vae.prior_over(batch), z)
        terms = {"elbo": -(distortion + rate), "distortion": distortion, "rate": rate}
        return terms if by_row is None else terms | by_row(seed, **batch)

    by_row = None if detector is None else row_score(vae, num_rows, detector)[0]
    return score, _joined(_SEED, _all_specs(vae, num_rows, vae.prior.conditions))


_SEED = {"seed": tf.TensorSpec((2,), tf.int32)}


def _pair(seed: tf.Tensor) -> tf.Tensor:
    """The seed, which servers give in whatever shape a request has: an error for any but [2]."""
    return tf.reshape(seed, [2])


def _spec(tensor: keras.KerasTensor, number: int | None) -> tf.TensorSpec:
    return tf.TensorSpec((number, *tensor.shape[1:]), tensor.dtype)


def _joined(main: Specs, conditions: Specs) -> Specs:
    for name in conditions:
        if name in main or not name.isidentifier():
            raise ValueError(
                f"The networks' input {name!r} cannot be served under its name, which has to be a "
                f"Python identifier other than {sorted(main)}. Rename that keras.Input."
            )
    return main | conditions
