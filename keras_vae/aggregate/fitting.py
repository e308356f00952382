import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.progress import track
from sklearn.mixture import GaussianMixture

from keras_vae import likelihoods, networks
from keras_vae._parts import check_count, check_positive, name_of
from keras_vae.aggregate.draws import Aggregate
from keras_vae.models import VAE, EncoderDecoder
from keras_vae.priors import FlowPrior, MultivariateNormalMixture, RealNVP, TwoStage

_HELD_OUT = 0.1  # of the examples, which say when to stop


def fit_mixture(
    vae: EncoderDecoder, x, num_components: int = 10, *, num_draws: int = 1, seed: int = 0
) -> MultivariateNormalMixture:
    """A mixture of normals with full covariances, fitted to the aggregate posterior by EM.

    The quickest of the fits, and often enough: 10 components took most of what there was to gain in
    the paper.

    Args:
        vae: the trained model.
        x: its training examples [N, *event], or a dict of arrays.
        num_components: number of components K.
        num_draws: draws of z ~ q(z|x) per example; more than one for small data.
        seed: integer of at least 0, of the draws and of the start of EM.

    Returns:
        The prior, its weights fixed.

    Raises:
        ValueError: for fewer than latent_dim + 1 draws per component, and as in `Aggregate.of`.

    Example:
        >>> vae = VAE(*networks.mlp(3, latent_dim=2), likelihood=likelihoods.Normal(scale=1.0))
        >>> x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        >>> vae.with_prior(fit_mixture(vae, x, num_components=2)).generate(4, seed=7).shape
        (4, 3)

    References:
        Ghosh et al., From Variational to Deterministic Autoencoders, ICLR 2020, arXiv:1903.12436
        (section 4).
    """
    check_count("fit_mixture", num_components=num_components)
    check_count("fit_mixture", least=0, seed=seed)
    z = Aggregate.of(vae, x).draw(num_draws, seed).astype(np.float64)
    needed = num_components * (z.shape[1] + 1)
    if len(z) < needed:
        raise ValueError(
            f"{num_components} components with full covariances in {z.shape[1]} dimensions need at least "
            f"{needed:,} latents. Received: {len(z):,}. Pass more examples, raise num_draws, or choose fewer "
            "components."
        )
    mixture = GaussianMixture(num_components, random_state=seed % 2**32).fit(z)
    prior = MultivariateNormalMixture(z.shape[1], num_components)
    prior.set_components(mixture.weights_, mixture.means_, mixture.covariances_)
    return prior


def fit_flow(
    vae: EncoderDecoder,
    x,
    flow: FlowPrior | None = None,
    *,
    epochs: int = 50,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    patience: int = 10,
    seed: int = 0,
    progress: bool = True,
) -> FlowPrior:
    """A normalising flow, fitted to the aggregate posterior by maximum likelihood.

    It starts from the latents' own locations and scales. z is drawn anew every epoch; a tenth of the
    examples is held out, and the weights of the epoch in which their density was highest are kept and
    frozen: set `trainable` for a model that is to train them on.

    Args:
        vae: the trained model.
        x: its training examples [N, *event], or a dict of arrays; at least 2.
        flow: the prior to fit, which is changed and returned; `RealNVP` by default.
        epochs: passes over the examples, at most.
        batch_size: latents per update.
        learning_rate: Adam's.
        patience: stop after so many epochs without a better density.
        seed: integer of at least 0, of draws, order, what is held out and a default's initial weights.
        progress: whether to show a progress bar.

    Raises:
        ValueError: for a flow of another latent_dim, and as in `Aggregate.of`.
    """
    _check(learning_rate, seed)
    aggregate = Aggregate.of(vae, x)
    latent_dim = aggregate.latent_dim
    if flow is None and latent_dim < 2:
        raise ValueError(
            "RealNVP moves some latent dimensions by others, and there is one. Use fit_mixture or fit_two_stage."
        )
    flow = RealNVP(latent_dim, seed=seed) if flow is None else flow
    if not isinstance(flow, FlowPrior):
        raise TypeError(f"fit_flow fits a RealNVP or an MAF. Received: {flow!r}")
    if flow.latent_dim != latent_dim:
        raise ValueError(
            f"The latents have latent_dim={latent_dim} and {name_of(flow)} has latent_dim={flow.latent_dim}. "
            "They have to be equal."
        )
    flow.trainable = True
    start = aggregate.draw(seed=seed)
    flow.start_from(start.mean(axis=0), start.std(axis=0))
    optimizer = keras.optimizers.Adam(learning_rate, clipnorm=1.0)  # pyright: ignore[reportArgumentType]
    optimizer.build(flow.trainable_variables)

    @tf.function(reduce_retracing=True)
    def loss(z):
        return -tf.reduce_mean(flow.distribution().log_prob(z))

    @tf.function(reduce_retracing=True)
    def update(z):
        with tf.GradientTape() as tape:
            value = loss(z)
        gradients = tape.gradient(value, flow.trainable_variables)
        optimizer.apply(gradients, flow.trainable_variables)

    def train(z, batch_size):
        for first in range(0, len(z), batch_size):
            update(tf.constant(z[first : first + batch_size]))

    _fit(train, loss, flow, aggregate, epochs, batch_size, patience, seed, progress)
    flow.trainable = False
    return flow


def fit_two_stage(
    vae: EncoderDecoder,
    x,
    second: VAE | None = None,
    *,
    num_samples: int = 16,
    epochs: int = 50,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    patience: int = 10,
    seed: int = 0,
    progress: bool = True,
) -> TwoStage:
    """A second VAE, trained on the latents of the first: a prior whose density is known by a bound alone.

    Trained as in `fit_flow`, by the second model's own objective.

    Args:
        vae: the trained model.
        x: its training examples [N, *event], or a dict of arrays; at least 2.
        second: a `VAE` of z, which is changed; by default one with as many latents, two hidden layers
            of 256 units and the likelihood `Normal`, that takes z standardised.
        num_samples: importance samples of the bound.
        epochs, batch_size, learning_rate, patience, seed, progress: as of `fit_flow`.

    Raises:
        ValueError: for a second model that `TwoStage` does not take, and as in `Aggregate.of`.

    References:
        Dai and Wipf, Diagnosing and Enhancing VAE Models, ICLR 2019, arXiv:1903.05789.
    """
    _check(learning_rate, seed)
    aggregate = Aggregate.of(vae, x)
    model = _second_stage(aggregate.draw(seed=seed), seed) if second is None else second
    if not isinstance(model, VAE):
        raise TypeError(f"The second stage of fit_two_stage has to be a VAE. Received: {model!r}")
    prior = TwoStage(model.replace(), num_samples)
    if prior.latent_dim != aggregate.latent_dim:
        raise ValueError(
            f"The latents have latent_dim={aggregate.latent_dim} and the second model takes vectors of size "
            f"{prior.latent_dim}. They have to be equal."
        )
    prior.trainable = True
    model.compile(keras.optimizers.Adam(learning_rate, clipnorm=1.0))  # pyright: ignore[reportArgumentType]

    def train(z, batch_size):
        model.fit(z, batch_size=batch_size, shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]

    def loss(z):
        return model.evaluate(z, verbose=0, return_dict=True)[model.objective.monitor]  # pyright: ignore[reportArgumentType]

    _fit(train, loss, model, aggregate, epochs, batch_size, patience, seed, progress)
    prior.vae.step.assign(model.step)  # the best epoch's: what schedules were then
    prior.trainable = False
    return prior


def _check(learning_rate: float, seed: int) -> None:
    check_positive("fit", learning_rate=learning_rate)
    check_count("fit", least=0, seed=seed)


def _second_stage(z: np.ndarray, seed: int) -> VAE:
    latent_dim = z.shape[1]
    normal = likelihoods.Normal(
        data_mean=z.mean(axis=0), data_stddev=np.maximum(z.std(axis=0), 1e-6)
    )
    columns = likelihoods.Mixed(
        blocks=(likelihoods.Block(likelihood=normal, indices=tuple(range(latent_dim))),)
    )
    model = VAE(
        *networks.table(columns, latent_dim, hidden=(256, 256)), likelihood=columns, seed=seed
    )
    kernels = [weight for weight in model.trainable_variables if weight.name == "kernel"]
    words = np.random.SeedSequence(seed).generate_state(len(kernels))
    for kernel, word in zip(kernels, words, strict=True):
        kernel.assign(keras.initializers.GlorotUniform(seed=int(word))(kernel.shape))
    return model


def _fit(
    train: Callable[[np.ndarray, int], None],
    loss: Callable[[np.ndarray], Any],
    layer: keras.Layer,
    aggregate: Aggregate,
    epochs: int,
    batch_size: int,
    patience: int,
    seed: int,
    progress: bool,
) -> None:
    """Calls `train` on new draws every epoch; the weights of the epoch of the lowest `loss` are kept."""
    check_count("fit", epochs=epochs, batch_size=batch_size, patience=patience)
    if len(aggregate.params) < 2:
        raise ValueError(
            "A fit holds examples out to know when to stop: it needs at least 2 examples. Received: "
            f"{len(aggregate.params)}"
        )
    fitted, held_out = aggregate.split(_HELD_OUT, seed)
    batch_size = min(batch_size, len(fitted.params))
    whole = len(fitted.params) // batch_size * batch_size
    word, rng = seed % 2**32, np.random.default_rng(seed)
    test = held_out.draw(seed=(word, 1))
    best, weights, best_epoch = math.inf, layer.get_weights(), 0
    numbers = range(epochs)
    for epoch in track(numbers, description="fitting the prior") if progress else numbers:
        z = fitted.draw(seed=(word, 2 + epoch))
        train(z[rng.permutation(len(z))[:whole]], batch_size)
        value = float(loss(test))
        if not math.isfinite(value):
            raise ValueError(
                f"The fit diverged in epoch {epoch + 1}: its loss is {value}. A lower learning_rate usually helps."
            )
        if value < best:
            best, weights, best_epoch = value, layer.get_weights(), epoch
        elif epoch - best_epoch >= patience:
            break
    layer.set_weights(weights)
