from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vae._parts import check_count, name_of, register
from keras_vae.noise import pick
from keras_vae.posteriors import Normal, Posterior
from keras_vae.priors._base import Prior
from keras_vae.priors._mixtures import mixture


@register
class VampPrior(Prior):
    """p(z) = 1/K sum_k q(z|u_k): the posterior itself, at K pseudo-inputs u that are learned.

    The prior is a mixture of where the encoder puts examples, so it bends towards the aggregate
    posterior as that moves; what a standard normal costs in rate, it saves. The encoder is the
    model's own: hand the same object to both. `trainable = False` holds the pseudo-inputs, and not the
    encoder. Columns of categories have no slope to learn by: pseudo-inputs keep those they start with.
    Pseudo-inputs are encoded as in evaluation, in training too: with dropout or batch normalisation in
    the encoder, the rate of training is not that of evaluation until moving averages have settled.

    Args:
        encoder: the model's encoder, with x as its only input.
        posterior: the model's posterior; diagonal `Normal` by default.
        num_components: number of pseudo-inputs K.
        pseudo_inputs: where they start, examples [K, *event], such as training examples; None:
            normal draws about 0.5, of standard deviation 0.1.
        seed: integer, of those draws.

    Raises:
        ValueError: for pseudo-inputs that are not like the encoder's examples, and for an encoder
            that asks for more than x.

    Example:
        >>> from keras_vae import networks
        >>> encoder, decoder = networks.mlp(6, latent_dim=2, hidden=8)
        >>> VampPrior(encoder, num_components=5).distribution().log_prob(tf.zeros([3, 2])).shape
        TensorShape([3])

    References:
        Tomczak and Welling, VAE with a VampPrior, 2017, arXiv:1705.07120.
    """

    def __init__(
        self,
        encoder: keras.Model,
        posterior: Posterior | None = None,
        num_components: int | None = None,
        pseudo_inputs: Any = None,
        seed: int = 0,
        **kwargs,
    ):
        posterior = Normal() if posterior is None else posterior
        if not isinstance(posterior, Posterior):
            raise TypeError(
                f"The posterior of VampPrior has to be an instance of Posterior. Received: {posterior!r}"
            )
        check_count("VampPrior", least=0, seed=seed)
        if posterior.support != self.support or not posterior.invertible:
            raise ValueError(
                "VampPrior mixes the densities q(z|u) of the posterior at all z, real numbers. Choose a posterior "
                f"that has them, such as Normal or MultivariateNormal. Received: {name_of(posterior)}, which "
                + (
                    "knows log q at its own draws alone."
                    if posterior.support == self.support
                    else f"draws z on the support {posterior.support!r}."
                )
            )
        if not isinstance(encoder, keras.Model) or len(getattr(encoder, "inputs", ())) != 1:
            raise ValueError(
                "VampPrior takes the model's encoder, a keras.Model whose only input is x: pseudo-inputs have no "
                f"conditions. Received: {encoder!r}"
            )
        event = tuple(encoder.input_shape[1:])
        if pseudo_inputs is not None:
            try:
                pseudo_inputs = np.asarray(pseudo_inputs, np.float32)
            except (TypeError, ValueError):
                raise ValueError(
                    "The pseudo-inputs of VampPrior are an array of numbers, such as x[:500]. Received: "
                    f"{pseudo_inputs!r}"
                ) from None
            received = pseudo_inputs.shape
            if num_components is None:
                num_components = received[0] if received else 1
            if received != (num_components, *event):
                size = num_components or "K"
                raise ValueError(
                    "The pseudo-inputs of VampPrior are one or more examples as the encoder takes them, of shape "
                    f"({size}, {', '.join(map(str, event))}). Received: {received}"
                )
            if not np.isfinite(pseudo_inputs).all():
                raise ValueError("The pseudo-inputs of VampPrior hold NaN or infinite values.")
        num_components = 500 if num_components is None else num_components
        check_count("VampPrior", num_components=num_components)
        super().__init__(_latent_dim(posterior, encoder.output_shape[-1]), **kwargs)
        self.encoder, self.posterior = encoder, posterior
        self.num_components, self.seed = int(num_components), int(seed)
        start = (
            keras.initializers.RandomNormal(0.5, 0.1, seed=self.seed)
            if pseudo_inputs is None
            else lambda shape, dtype: keras.ops.convert_to_tensor(pseudo_inputs, dtype)
        )
        self.pseudo_inputs = self.add_weight(
            shape=(num_components, *event), initializer=start, name="pseudo_inputs"
        )

    @property
    def trainable(self):
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        # Keras's own would freeze the encoder with it, which is the model's.
        self._trainable = bool(value)
        self.pseudo_inputs.trainable = bool(value)

    @property
    def noise_size(self):
        return self.posterior.noise_size(self.latent_dim) + 2

    @property
    def widest_layer(self):
        return max(self.latent_dim, 2 * self.num_components)  # in float64

    def over(self, encoder):
        if self.encoder is encoder:
            return self
        config = {**self.get_config(), "encoder": encoder, "posterior": self.posterior}
        return type(self)(**config)

    def check(self, model):
        if self.encoder is not model.encoder or self.posterior != model.posterior:
            raise ValueError(
                "VampPrior is made of the model's own posterior at pseudo-inputs. Hand the same encoder and an "
                f"equal posterior to both. Received: {name_of(self.posterior)} over {self.encoder.name!r} in the "
                f"prior, {name_of(model.posterior)} over {model.encoder.name!r} in the model"
            )
        for layer in model.encoder._flatten_layers():
            if getattr(layer, "activity_regularizer", None) is not None:
                raise ValueError(
                    f"The layer {layer.name!r} of the encoder has an activity regulariser, which VampPrior would "
                    "apply to pseudo-inputs in place of examples. Regularise the kernel, or choose another prior."
                )

    def distribution(self, batch=None):
        inputs = tf.convert_to_tensor(self.pseudo_inputs)
        components = self.posterior.distribution(self.encoder(inputs))
        return mixture(tf.zeros([self.num_components]), components)

    def transform(self, noise, batch=None):
        equal = tf.fill([self.num_components], 1.0 / self.num_components)
        chosen = tf.gather(tf.convert_to_tensor(self.pseudo_inputs), pick(noise[:, :2], equal))
        return self.posterior.transform(self.encoder(chosen), noise[:, 2:])

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]
        parts = {name: getattr(self, name) for name in ("encoder", "posterior")}
        return config | {
            "num_components": self.num_components,
            "seed": self.seed,
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "posterior")
        }
        return cls(**(config | parts))


def _latent_dim(posterior: Posterior, params_size: int) -> int:
    """The latent_dim for which a posterior takes so many parameters."""
    sizes = (n for n in range(1, params_size + 1) if posterior.params_size(n) == params_size)
    if (latent_dim := next(sizes, None)) is None:
        raise ValueError(
            f"The encoder of VampPrior gives {params_size} parameters, which {name_of(posterior)} takes for no "
            "latent_dim."
        )
    return latent_dim
