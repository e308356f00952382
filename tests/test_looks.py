"""Terms that compare pictures: against TensorFlow's own, and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import VAE, likelihoods, networks
from keras_vae.estimators import structural_similarity
from keras_vae.objectives import ELBO, Perceptual, StructuralSimilarity

IMAGE = (8, 8, 1)
rng = np.random.default_rng(0)
X = rng.random((6, *IMAGE)).astype(np.float32)


def model_of(objective, shape=IMAGE, likelihood=None):
    likelihood = likelihood or likelihoods.Normal(scale=0.5, event_rank=len(shape))
    parts = networks.mlp(shape, 2, hidden=4, likelihood=likelihood)
    return VAE(*parts, likelihood=likelihood, objective=objective)


def features(shape=IMAGE):
    x = keras.Input(shape)
    flat = keras.layers.Flatten()(x)
    return keras.Model(x, [keras.layers.Dense(3)(flat), keras.layers.Dense(5)(flat)])


def terms_of(model, batch):
    model.sampling.draws.assign(0)
    return {name: float(value) for name, value in model.objective(model, batch).items()}


def decoded(model):
    model.sampling.draws.assign(0)
    return np.asarray(model.expected(X, model.infer(X)[1]))


@pytest.mark.parametrize(("size", "levels"), [(32, 1), (64, 3)])
def test_similarity_is_tensorflow_s(size, levels):
    a, b = rng.random((2, 3, size, size, 2)).astype(np.float32)
    b = (0.7 * a + 0.3 * b) * 4.0
    a = a * 4.0
    powers = np.asarray([0.0448, 0.2856, 0.3001])[:levels]
    expected = tf.image.ssim_multiscale(a, b, 4.0, power_factors=powers / powers.sum())
    ours = structural_similarity(a, b, levels=levels, filter_size=11, value_range=4.0)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
    np.testing.assert_allclose(structural_similarity(a, a), 1.0, atol=1e-5)


def test_its_gradient_is_finite_where_nothing_is_alike():
    b = tf.constant(1.0 - X)
    with tf.GradientTape() as tape:
        tape.watch(b)
        value = structural_similarity(tf.constant(X), b, filter_size=4)
    assert float(tf.reduce_max(value)) < 0.1
    assert np.isfinite(tape.gradient(value, b)).all()


def test_the_loss_is_the_bound_and_the_dissimilarity():
    objective = StructuralSimilarity(weight=7.0, beta=2.0, filter_size=4, levels=2)
    model = model_of(objective)
    terms = terms_of(model, X)
    similarity = structural_similarity(tf.constant(X), decoded(model), levels=2, filter_size=4)
    assert terms["dissimilarity"] == pytest.approx(1.0 - np.mean(similarity), rel=1e-5)
    expected = terms["distortion"] + 2.0 * terms["rate"] + 7.0 * terms["dissimilarity"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    elbo = terms_of(model.replace(objective=ELBO()), X)
    assert terms["negative_elbo"] == elbo["negative_elbo"]


def test_the_features_distance_by_hand():
    network = features()
    model = model_of(Perceptual(network, weight=3.0))
    terms = terms_of(model, X)
    x, shown = X.reshape(6, -1), decoded(model).reshape(6, -1)
    kernels = [layer.kernel.numpy() for layer in network.layers if hasattr(layer, "kernel")]
    distance = sum(np.mean(((x - shown) @ kernel) ** 2) for kernel in kernels)
    assert terms["feature_distance"] == pytest.approx(distance, rel=1e-4)
    expected = terms["negative_elbo"] + 3.0 * terms["feature_distance"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    for _ in range(2):
        trained = {id(v) for v in model.trainable_variables}
        assert not trained & {id(v) for v in network.variables}
        model.trainable = False
        model.trainable = True  # which reaches into every layer


@pytest.mark.parametrize(
    "objective", [StructuralSimilarity(filter_size=4), Perceptual(features())], ids=["s", "p"]
)
def test_what_a_mask_hides_is_not_looked_at(objective):
    model = model_of(objective)
    mask = (rng.random(X.shape) < 0.5).astype(np.float32)
    other = np.where(mask == 1, X, np.nan).astype(np.float32)
    assert terms_of(model, {"x": X, "mask": mask}) == terms_of(model, {"x": other, "mask": mask})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: model_of(StructuralSimilarity(), (64,)), r"images .* \(64,\)"),
        (lambda: model_of(Perceptual(features()), (64,)), r"Perceptual looks at images .* \(64,\)"),
        (lambda: model_of(StructuralSimilarity(filter_size=9)), "at least 9 x 9"),
        (lambda: model_of(StructuralSimilarity(filter_size=4, levels=3)), "at least 16 x 16"),
        (
            lambda: model_of(
                StructuralSimilarity(filter_size=4),
                likelihood=likelihoods.Categorical(num_categories=3, event_rank=3),
            ),
            "StructuralSimilarity .* Categorical",
        ),
        (lambda: model_of(Perceptual(features((6, 6, 1)))), r"\(6, 6, 1\).*\(8, 8, 1\)"),
        (lambda: Perceptual("vgg"), "Received: 'vgg'"),
        (lambda: Perceptual(features(), weight=-1.0), "weight"),
        (lambda: StructuralSimilarity(weight=-1.0), "weight"),
        (lambda: StructuralSimilarity(levels=6), "at most 5 levels"),
        (lambda: StructuralSimilarity(value_range=0.0), "value_range"),
    ],
)
def test_misfits_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
