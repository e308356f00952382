import keras


def spectrally_normalized(network: keras.Model, power_iterations: int = 1) -> keras.Model:
    """The same network with each layer that has a kernel held to spectral norm 1, its largest singular
    value, by `keras.layers.SpectralNormalization`.

    Each training step divides the kernels by estimates of their norms that power iteration carries
    on from step to step: it is a weight, saved with the model. Keras's layer assigns weights in the
    middle of a step, which several replicas cannot do.

    Args:
        network: a Functional or Sequential `keras.Model` that is built, such as the decoder of
            `networks.mlp`; it is copied, with its weights, and so are such models within it.
        power_iterations: per training step.

    Raises:
        ValueError: for any other network, and for layers that hold a kernel under another name, such as
            SeparableConv1D and TimeDistributed.

    Example:
        >>> from keras_vae import networks
        >>> encoder, decoder = networks.mlp(784, latent_dim=20)
        >>> spectrally_normalized(decoder).output_shape
        (None, 784)

    References:
        Miyato, Kataoka, Koyama and Yoshida, Spectral Normalization for Generative Adversarial Networks,
        2018, arXiv:1802.05957.
    """
    if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        raise ValueError(
            "spectrally_normalized copies a Functional or Sequential keras.Model that is built, layer by layer. "
            f"Received: {network!r}"
        )

    def normalized(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.Model):
            return spectrally_normalized(layer, power_iterations)
        copy = type(layer).from_config(layer.get_config())
        if not hasattr(layer, "kernel"):
            if any("kernel" in weight.name for weight in layer.weights):
                raise ValueError(
                    f"The {type(layer).__name__} layer {layer.name!r} has its kernel where Keras's "
                    "SpectralNormalization does not find it. Build the network without, or hold its weights by "
                    "RAE(weight_decay=...)."
                )
            return copy
        return keras.layers.SpectralNormalization(copy, power_iterations)

    copy = keras.models.clone_model(network, clone_function=normalized)
    for old, new in zip(network.layers, copy.layers, strict=True):
        if isinstance(old, keras.Model):
            continue  # has its weights
        inner = new.layer if isinstance(new, keras.layers.SpectralNormalization) else new
        inner.set_weights(old.get_weights())
    return copy
