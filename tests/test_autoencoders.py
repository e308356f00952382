"""Autoencoders without noise: RAE, its posterior, and spectral normalisation of its decoder."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae import VAE, evaluation, likelihoods, models, networks, posteriors, priors
from keras_vae.export import endpoints
from keras_vae.objectives import ELBO, RAE

POINT = posteriors.Deterministic()
NORMAL = likelihoods.Normal(scale=0.5)
X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def model_of(objective=None, *, hidden=(), decoder_of=lambda network: network, **parts):
    parts = {"posterior": POINT, "objective": objective or RAE(), **parts}
    encoder, decoder = networks.mlp(
        5, 2, hidden=hidden, posterior=parts["posterior"], likelihood=NORMAL
    )
    return VAE(encoder, decoder_of(decoder), likelihood=NORMAL, **parts)


def test_the_loss_is_the_negative_log_of_the_most_probable_code():
    model = model_of()
    z = model.embed(X).astype(np.float64)
    np.testing.assert_array_equal(model.infer(X, 3)[1], np.stack([model.embed(X)] * 3))
    joint = stats.norm(model.reconstruct(X), 0.5).logpdf(X).sum(1) + stats.norm.logpdf(z).sum(1)
    terms = model.objective(model, X)
    assert float(terms["loss"]) == pytest.approx(-joint.mean() - np.log(2 * np.pi), rel=1e-5)


def test_the_decoder_s_penalties_by_hand():
    model = model_of(RAE(beta=0.0, weight_decay=0.3))
    kernel, bias = model.decoder.get_weights()
    terms = model.objective(model, X)
    expected = 0.3 * (np.sum(kernel**2) + np.sum(bias**2))
    assert float(terms["decoder_penalty"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(float(terms["distortion"]) + expected, rel=1e-5)
    assert float(terms["latent_penalty"]) == 0.0


def test_a_frozen_decoder_has_no_weights_to_decay():
    model = model_of(RAE(beta=0.0, weight_decay=0.3))
    model.decoder.trainable = False
    terms = model.objective(model, X)
    assert float(terms["decoder_penalty"]) == 0.0
    assert float(terms["loss"]) == float(terms["distortion"])


def test_the_gradient_penalty_is_the_jacobian_s_squared_norm():
    """Of a linear decoder that is its kernel's; its slope by each entry is twice that entry."""
    model = model_of(RAE(beta=0.0, gradient_penalty=1.0))
    kernel = model.decoder.layers[-1].kernel
    many = np.tile(X, [500, 1])
    with tf.GradientTape() as tape:
        penalty = model.objective(model, many, training=True)["decoder_penalty"]
    norm = np.sum(kernel.numpy() ** 2)
    assert float(penalty) == pytest.approx(norm, rel=0.05)
    np.testing.assert_allclose(
        tape.gradient(penalty, kernel.value), 2 * kernel.numpy(), atol=0.15 * np.sqrt(norm)
    )


def test_a_point_is_no_density():
    model = model_of()
    for ask in (
        lambda: evaluation.log_likelihood(model, X, 10, progress=False),
        lambda: evaluation.bound(model, X),
    ):
        with pytest.raises(ValueError, match="Deterministic is a point and has no density"):
            ask()
    assert evaluation.latent_use(model, X).rate is None
    with pytest.raises(ValueError, match=r"no endpoint.*score"):
        endpoints(model, ["encode", "score"])
    encode = endpoints(model, ["encode"])["encode"]
    np.testing.assert_allclose(encode(x=X)["location"], model.embed(X), rtol=1e-5)
    np.testing.assert_array_equal(model.embed(X, with_stddev=True)[:, 2:], 0.0)


def test_generation_needs_a_prior_that_was_fitted():
    model = model_of()
    z = model.embed(X)
    fitted = priors.NormalMixture(2, num_components=1)
    fitted.set_weights(
        [np.zeros(1), z.mean(0, keepdims=True), 2.0 * np.log(z.std(0, keepdims=True))]
    )
    fitted.trainable = False
    drawn = model.with_prior(fitted).generate(4000, seed=1)
    np.testing.assert_allclose(drawn.mean(0), model.reconstruct(X).mean(0), atol=0.15)


def test_spectral_normalisation_resumes_to_the_bit(tmp_path):
    """Its power iteration is a weight: saved, loaded by `load_model`, and gone on with."""
    keras.utils.set_random_seed(0)
    model = model_of(hidden=4, decoder_of=networks.spectrally_normalized)
    x = X[:8]
    model.compile("adam", run_eagerly=True)
    model.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.run_eagerly = True
        each.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for _ in range(20):
        model.decoder(np.zeros([1, 2], np.float32), training=True)
    kernels = [w for w in model.decoder.trainable_variables if w.name == "kernel"]
    assert len(kernels) == 2
    for kernel in kernels:
        assert np.linalg.norm(kernel.numpy(), 2) == pytest.approx(1.0, abs=0.01)


def test_networks_within_a_network_are_normalised_too():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    outer = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(5)])
    found = networks.spectrally_normalized(outer)
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(found(z, training=False), outer(z))
    for _ in range(30):
        found(z, training=True)
    kernels = [w for w in found.trainable_variables if w.name == "kernel"]
    assert len(kernels) == 3
    for kernel in kernels:
        assert np.linalg.norm(kernel.numpy(), 2) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("network", ["mlp", keras.Sequential([keras.layers.Dense(2)])])
def test_what_cannot_be_copied_layer_by_layer_is_not_normalised(network):
    with pytest.raises(ValueError, match=r"Functional or Sequential keras\.Model that is built"):
        networks.spectrally_normalized(network)


@pytest.mark.parametrize(
    "layer",
    [keras.layers.SeparableConv1D(3, 2), keras.layers.TimeDistributed(keras.layers.Dense(3))],
)
def test_kernels_that_cannot_be_held_are_named(layer):
    network = keras.Sequential([keras.Input((4, 2)), layer, keras.layers.Flatten()])
    with pytest.raises(ValueError, match=f"{type(layer).__name__} layer .* has its kernel where"):
        networks.spectrally_normalized(network)


@pytest.mark.parametrize("policy", ["float64", "bfloat16", "mixed_bfloat16"])
def test_regularised_networks_train_in_other_dtypes(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = model_of(RAE(weight_decay=0.1))
        kernel = model.decoder.layers[-1]
        kernel.kernel.regularizer = keras.regularizers.L2(0.5)
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).random((6, *model.event_shape)).astype(np.float32)
    model.compile("sgd", run_eagerly=True)
    terms = model.test_on_batch(x, return_dict=True)
    squares = sum(
        np.sum(np.square(w.numpy(), dtype=np.float64)) for w in model.decoder.trainable_variables
    )
    assert terms["decoder_penalty"] == pytest.approx(0.1 * squares, rel=2e-2)
    added = 0.5 * np.sum(np.square(kernel.kernel.numpy(), dtype=np.float64))
    rest = terms["loss"] - sum(value for name, value in terms.items() if name != "loss")
    assert rest == pytest.approx(added, rel=2e-2)
    assert np.isfinite(model.train_on_batch(x)).all()


def test_a_network_keeps_its_weights_when_it_is_normalised():
    decoder = networks.mlp((4, 4, 1), 2, hidden=6, output_mean=0.3)[1]
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        networks.spectrally_normalized(decoder)(z, training=False), decoder(z)
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: model_of(ELBO()), "ELBO .* Deterministic .* Normal, or the objective RAE"),
        (lambda: model_of(posterior=posteriors.Normal()), "RAE .* Normal .* Deterministic"),
        (
            lambda: model_of(prior=priors.NormalMixture(2, num_components=2)),
            "RAE trains no prior, and NormalMixture",
        ),
        (lambda: RAE(beta=-1.0), "beta"),
        (lambda: RAE(weight_decay=-1.0), "weight_decay"),
        (lambda: RAE(gradient_penalty=float("nan")), "gradient_penalty"),
    ],
)
def test_misfits_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
