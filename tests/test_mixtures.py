"""The density of mixtures of Normals and its gradient, both of matrix products."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

from keras_vae.priors._mixtures import mixture, normal_mixture_log_prob

tfd = tfp.distributions


def parameters(seed=0, k=7, d=3):
    rng = np.random.default_rng(seed)
    sizes = ((4, 2, d), (k,), (k, d), (k, d))
    z, logits, loc, log_scale = (rng.normal(size=size).astype(np.float32) for size in sizes)
    return z, logits, loc, np.exp(log_scale)


def test_density_is_scipys():
    z, logits, loc, scale = parameters()
    weights = special.log_softmax(logits.astype(np.float64))
    by_component = stats.norm.logpdf(z[..., None, :], loc, scale).sum(-1) + weights
    expected = special.logsumexp(by_component, axis=-1)
    components = tfd.Independent(tfd.Normal(loc, scale), 1)
    np.testing.assert_allclose(mixture(logits, components).log_prob(z), expected, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_is_that_of_automatic_differentiation(jit_compile):
    """Of every argument, against TFP's mixture, with a weight of its own for every z."""
    given = [tf.constant(array) for array in parameters()]
    upstream = tf.constant(np.random.default_rng(1).normal(size=(4, 2)), tf.float32)

    def plain(z, logits, loc, scale):
        components = tfd.Independent(tfd.Normal(loc, scale), 1)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components).log_prob(z)

    def ours(z, logits, loc, scale):
        return normal_mixture_log_prob(z, tf.nn.log_softmax(logits), loc, scale)

    @tf.function(jit_compile=jit_compile)
    def gradients(function, arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(*arguments)
        return tape.gradient(value, arguments, output_gradients=upstream)

    for a, b in zip(gradients(ours, given), gradients(plain, given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_nothing_cancels_at_small_scales():
    """Components 1e-3 wide and 3 from 0, against float64."""
    rng = np.random.default_rng(2)
    loc, scale = 3.0 * rng.normal(size=(5, 2)), np.full((5, 2), 1e-3)
    loc, scale = loc.astype(np.float32), scale.astype(np.float32)
    z = np.repeat(loc, 20, axis=0) + scale[0] * rng.normal(size=(100, 2)).astype(np.float32)

    def value_and_gradients(kind, density):
        arguments = [tf.constant(each.astype(kind)) for each in (loc, scale)]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            total = tf.reduce_mean(density(tf.constant(z.astype(kind)), *arguments))
        return [total, *tape.gradient(total, arguments)]

    def exact(z, loc, scale):
        components = tfd.Independent(tfd.Normal(loc, scale), 1)
        even = tfd.Categorical(logits=tf.zeros([5], tf.float64))
        return tfd.MixtureSameFamily(even, components).log_prob(z)

    def ours(z, loc, scale):
        return normal_mixture_log_prob(z, tf.fill([5], float(-np.log(5.0))), loc, scale)

    for found, expected in zip(
        value_and_gradients(np.float32, ours), value_and_gradients(np.float64, exact), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_other_components_are_mixed_by_tfp():
    loc, scale_tril = tf.zeros([3, 2]), tf.eye(2, batch_shape=[3])
    mixed = mixture(tf.zeros([3]), tfd.MultivariateNormalTriL(loc, scale_tril))
    np.testing.assert_allclose(mixed.log_prob([[0.0, 0.0]]), [-np.log(2 * np.pi)], rtol=1e-6)


def test_far_from_every_component_the_density_is_finite():
    _, logits, loc, scale = parameters()
    z = tf.constant(np.full((1, 3), 1e4), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = mixture(logits, tfd.Independent(tfd.Normal(loc, scale), 1)).log_prob(z)
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, z)).all()
