"""Priors against SciPy, TFP and autodiff; priors fitted to an aggregate posterior that is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conformance.rows import EVENT_SIZE, LATENT_DIM, ROWS, vae, vamp
from oracles import LinearGaussian
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from keras_vae import (
    VAE,
    aggregate,
    evaluation,
    likelihoods,
    load_model,
    networks,
    objectives,
    priors,
)
from keras_vae._parts import soft_clip
from keras_vae.export import endpoints, load, tflite
from keras_vae.export.tflite import custom_ops
from keras_vae.noise import as_seed

tfd, tfb = tfp.distributions, tfp.bijectors

FLOWS = [priors.RealNVP, priors.MAF]


def perturbed(layer, size=0.3):
    """The layer, every weight moved."""
    rng = np.random.default_rng(0)
    layer.set_weights([w + size * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


# VampPrior.


def test_a_vamp_prior_is_the_mixture_of_the_posterior_at_its_pseudo_inputs():
    prior = vamp().prior
    params = prior.encoder(prior.pseudo_inputs).numpy().astype(np.float64)
    loc, scale = params[:, :LATENT_DIM], np.exp(0.5 * params[:, LATENT_DIM:])
    z = 2.0 * np.random.default_rng(1).normal(size=(5, 7, LATENT_DIM))
    by_component = norm.logpdf(z[..., np.newaxis, :], loc, scale).sum(axis=-1)
    expected = logsumexp(by_component, axis=-1) - np.log(4)
    received = prior.distribution().log_prob(z.astype(np.float32))
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_samples_of_a_vamp_prior_have_its_moments():
    encoder, _ = networks.mlp(EVENT_SIZE, LATENT_DIM, hidden=8)
    far = 5.0 * np.random.default_rng(1).normal(size=(4, EVENT_SIZE))
    prior = priors.VampPrior(encoder, pseudo_inputs=far)
    params = encoder(prior.pseudo_inputs).numpy()
    loc, scale = params[:, :LATENT_DIM], np.exp(0.5 * params[:, LATENT_DIM:])
    z = prior.sample(20_000, seed=3).numpy()
    variance = (scale**2 + loc**2).mean(axis=0) - loc.mean(axis=0) ** 2
    np.testing.assert_allclose(z.mean(axis=0), loc.mean(axis=0), atol=0.04 * variance.max() ** 0.5)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.05)


def test_a_vamp_prior_shares_the_encoder_also_when_it_is_loaded(tmp_path):
    model = vamp()
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        assert each.prior.encoder is each.encoder
        names = [variable.path for variable in each.trainable_variables]
        parts = (each.encoder, each.decoder)
        assert len(names) == sum(len(part.trainable_variables) for part in parts) + 1
        expected = sum(part.count_params() for part in parts) + 4 * EVENT_SIZE
        assert sum(np.size(variable) for variable in each.trainable_variables) == expected
    assert loaded.prior.pseudo_inputs.shape == (4, EVENT_SIZE)
    np.testing.assert_array_equal(loaded.prior.pseudo_inputs, model.prior.pseudo_inputs)


def test_a_vamp_prior_shares_the_encoder_of_a_config():
    model = vamp()
    for again in (VAE.from_config(model.get_config()), keras.models.clone_model(model)):
        assert again.prior.encoder is again.encoder
        assert again.count_params() == model.count_params()


def test_pseudo_inputs_start_from_the_examples_given():
    x = np.random.default_rng(0).random((5, EVENT_SIZE))
    prior = priors.VampPrior(vae().encoder, pseudo_inputs=x)
    np.testing.assert_allclose(prior.pseudo_inputs, x, rtol=1e-6)
    assert prior.num_components == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pseudo_inputs": np.zeros((4, 5))}, r"of shape \(4, 6\). Received: \(4, 5\)"),
        ({"pseudo_inputs": np.zeros((4, 6)), "num_components": 3}, r"\(3, 6\). Received: \(4, 6\)"),
        ({"pseudo_inputs": np.full((4, 6), np.nan)}, "NaN"),
        ({"pseudo_inputs": 3.0}, r"of shape \(1, 6\). Received: \(\)"),
        ({"pseudo_inputs": []}, r"one or more examples .* of shape \(K, 6\). Received: \(0,\)"),
        ({"pseudo_inputs": np.zeros((0, 6))}, "num_components.*at least 1.*0"),
        ({"num_components": 0}, "num_components.*at least 1.*0"),
        ({"pseudo_inputs": "x"}, "array of numbers.*'x'"),
        ({"seed": 2.5}, "seed.*VampPrior.*at least 0.*2.5"),
    ],
)
def test_pseudo_inputs_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        priors.VampPrior(vae().encoder, **arguments)


@pytest.mark.parametrize("posterior", ["normal", 0, []])
def test_a_vamp_prior_of_no_posterior_is_refused(posterior):
    with pytest.raises(
        TypeError, match="posterior of VampPrior has to be an instance of Posterior"
    ):
        priors.VampPrior(vae().encoder, posterior=posterior)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: priors.NormalMixture(2, seed=True), "seed.*NormalMixture.*at least 0.*True"),
        (lambda: priors.RealNVP(2, hidden=2.5), "hidden.*RealNVP.*at least 1.*2.5"),
        (lambda: priors.MAF(2, hidden=(8, "a")), "hidden.*MAF.*'a'"),
        (lambda: priors.MAF(2, hidden=True), "hidden.*MAF.*True"),
    ],
)
def test_what_is_no_count_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_vamp_prior_of_another_encoder_is_refused():
    with pytest.raises(ValueError, match="Hand the same encoder"):
        vae(prior=priors.VampPrior(vae().encoder, num_components=4))
    x, label = keras.Input((3,), name="x"), keras.Input((1,), name="label")
    both = keras.Model([x, label], keras.layers.Dense(4)(keras.layers.Concatenate()([x, label])))
    with pytest.raises(ValueError, match="whose only input is x"):
        priors.VampPrior(both)
    with pytest.raises(ValueError, match="5 parameters, which Normal takes for no latent_dim"):
        priors.VampPrior(keras.Model(x, keras.layers.Dense(5)(x)))
    encoder, decoder = networks.mlp(6, 3, hidden=4)
    encoder.layers[-1].activity_regularizer = keras.regularizers.L2(1.0)
    with pytest.raises(
        ValueError, match="activity regulariser, which VampPrior would apply to pseudo"
    ):
        VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(), prior=priors.VampPrior(encoder))


def test_a_vamp_prior_by_name(cli, images, tmp_path):
    words = ("train", "--data", images, "--epochs", 1, "--batch-size", 16, "--hidden", 4)
    words = (*words, "--latent-dim", 2, "--no-jit", "--prior", "vamp", "--output", tmp_path / "run")
    code, _, err = cli(*words, "--num-components", 400)
    assert code == 1
    assert "400 pseudo-inputs" in err
    code, _, err = cli(*words, "--num-components", 3)
    assert code == 0, err
    model = load_model(tmp_path / "run/model.keras")
    assert model.prior.pseudo_inputs.shape == (3, 8, 8, 1)
    assert model.prior.encoder is model.encoder


# Flows.


@pytest.mark.parametrize("cls", FLOWS)
def test_a_flow_starts_as_the_standard_normal(cls):
    prior, z = cls(5, num_blocks=3, hidden=(8, 8)), tf.random.normal([7, 5])
    np.testing.assert_array_equal(prior.transform(z), z)
    expected = priors.StandardNormal(5).distribution().log_prob(z)
    np.testing.assert_allclose(prior.distribution().log_prob(z), expected, rtol=1e-6)


@pytest.mark.parametrize("cls", FLOWS)
@pytest.mark.parametrize("hidden", [(), (6,), (8, 8)])
def test_a_flow_is_inverted_and_its_determinant_is_that_of_autodiff(cls, hidden):
    prior = perturbed(cls(5, num_blocks=3, hidden=hidden))
    noise = tf.random.normal([7, 5])
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = prior.transform(noise)
    jacobian = tape.batch_jacobian(z, noise)
    assert np.abs(z - noise).max() > 0.5
    copy = tf.identity(z)  # TFP remembers where z itself came from
    np.testing.assert_allclose(prior.bijector().inverse(copy), noise, atol=2e-5)
    log_det = np.linalg.slogdet(jacobian)[1]
    expected = norm.logpdf(noise).sum(axis=1) - log_det
    np.testing.assert_allclose(prior.distribution().log_prob(copy), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", FLOWS)
def test_a_flow_is_the_chain_of_tfps_own_bijectors(cls):
    """A second implementation over the same networks, for z with sample axes."""
    prior = perturbed(cls(5, num_blocks=2, hidden=(8,)))

    def autoregressive(number):
        def parameters(z):
            shift, log_scale = tf.split(prior.networks[number](z), 2, axis=-1)
            return shift, soft_clip(log_scale, 2.0, 4.0)

        return tfb.MaskedAutoregressiveFlow(parameters, unroll_loop=True)

    def coupling(number):
        def parameters(kept, _):
            shift, log_scale = tf.split(prior.networks[number](kept), 2, axis=-1)
            return shift, soft_clip(log_scale, 2.0, 4.0)

        num_masked = 2 if number == 0 else -3
        return tfb.RealNVP(num_masked=num_masked, shift_and_log_scale_fn=parameters)

    block = autoregressive if cls is priors.MAF else coupling
    outer = [tfb.Shift(prior.loc.value), tfb.Scale(tf.exp(0.5 * prior.log_variance))]
    base = tfd.MultivariateNormalDiag(tf.zeros(5), tf.ones(5))
    reference = tfd.TransformedDistribution(base, tfb.Chain([*outer, block(0), block(1)]))
    noise = tf.random.normal([12, 5])
    expected = reference.bijector.forward(noise)
    np.testing.assert_allclose(prior.transform(noise), expected, rtol=1e-4, atol=1e-5)
    z = tf.random.normal([12, 5])
    sampled = prior.distribution().log_prob(tf.reshape(z, [3, 4, 5]))
    np.testing.assert_allclose(tf.reshape(sampled, [-1]), reference.log_prob(z), rtol=1e-4)


@pytest.mark.parametrize("units", [3, 4, 9, 20])
def test_narrow_networks_of_maf_read_dimensions_throughout(units):
    """Every dimension but the last is read by a later one, and none by itself or an earlier one."""
    connected = np.eye(10)
    for layer in priors.MAF(10, num_blocks=1, hidden=(units, units)).networks[0].layers[1:]:
        connected = connected @ layer.connections
    reads = connected[:, :10].T > 0
    assert not np.triu(reads).any()
    assert reads.sum() >= 45 * (1 - 1 / units)
    if units >= 9:
        np.testing.assert_array_equal(reads, np.tri(10, k=-1, dtype=bool))


@pytest.mark.parametrize(("number", "order"), [(0, [0, 1, 2, 3]), (1, [3, 2, 1, 0])])
def test_a_block_of_maf_reads_all_dimensions_before_and_no_other(number, order):
    prior = perturbed(priors.MAF(4, num_blocks=2, hidden=(16, 16)))
    z = tf.random.normal([20, 4])  # of many relus, some are off at any one point
    with tf.GradientTape() as tape:
        tape.watch(z)
        shift, _ = prior._shift_and_log_scale(number, z)
    depends = (tape.batch_jacobian(shift, z).numpy() != 0).any(axis=0)
    np.testing.assert_array_equal(depends[np.ix_(order, order)], np.tri(4, k=-1, dtype=bool))


@pytest.mark.parametrize("cls", FLOWS)
def test_the_scales_of_a_flow_are_bounded(cls):
    prior = perturbed(cls(4, num_blocks=2, hidden=()), size=1e4)
    prior.start_from(np.zeros(4), np.ones(4))
    z = tf.random.normal([50, 4])
    log_det = prior.bijector().inverse_log_det_jacobian(z, event_ndims=1)
    assert np.abs(log_det).max() <= 2 * 4 * 4.0 + 1e-3
    assert np.abs(log_det).max() > 4.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: priors.RealNVP(1), "latent_dim.*RealNVP.*at least 2.*1"),
        (lambda: priors.MAF(1), "latent_dim.*MAF.*at least 2.*1"),
        (lambda: priors.RealNVP(3, num_blocks=0), "num_blocks.*RealNVP.*0"),
        (lambda: priors.MAF(3, hidden=(8, 0)), "hidden.*MAF.*0"),
        (lambda: priors.MultivariateNormalMixture(3, 0), "num_components.*at least 1"),
    ],
)
def test_sizes_that_make_no_prior_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# A mixture with full covariances.


def full_mixture():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 4, 4))
    covariance = factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(4)
    probs, loc = np.array([0.2, 0.5, 0.3]), 5.0 * rng.normal(size=(3, 4))
    prior = priors.MultivariateNormalMixture(4, 3)
    prior.set_components(probs, loc, covariance)
    return prior, probs, loc, covariance


def test_a_full_mixture_is_scipys_in_density_and_moments():
    prior, probs, loc, covariance = full_mixture()
    z = prior.sample(20_000, seed=5).numpy()
    parts = zip(loc, covariance, strict=True)
    by_component = [multivariate_normal(*part).logpdf(z[:60]) for part in parts]
    expected = logsumexp(np.transpose(by_component) + np.log(probs), axis=1)
    received = prior.distribution().log_prob(z[:60].reshape(2, 30, 4))
    np.testing.assert_allclose(np.ravel(received), expected, rtol=1e-4, atol=1e-4)
    mean = probs @ loc
    second = np.einsum("k,kij->ij", probs, covariance + loc[:, :, None] * loc[:, None])
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.15)
    np.testing.assert_allclose(np.cov(z.T), second - np.outer(mean, mean), atol=0.6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"probs": [0.5, 0.5, 0.5]}, "add up to 1"),
        ({"probs": [0.0, 0.5, 0.5]}, "above 0"),
        ({"probs": []}, r"probs.*\(3,\). Received: \(0,\)"),
        ({"loc": np.zeros((3, 5))}, r"loc.*\(3, 4\). Received: \(3, 5\)"),
        ({"loc": np.full((3, 4), np.nan)}, "loc.*finite"),
        ({"covariance": np.zeros((3, 4, 4))}, "positive definite"),
        ({"covariance": np.tile(np.tri(4), (3, 1, 1))}, "not symmetric"),
    ],
)
def test_components_that_are_none_are_refused(changed, words):
    prior, probs, loc, covariance = full_mixture()
    given = {"probs": probs, "loc": loc, "covariance": covariance} | changed
    with pytest.raises(ValueError, match=words):
        prior.set_components(**given)


# Two stages.


def test_a_two_stage_prior_is_its_vaes_marginal():
    """Where the second posterior is exact, so is the bound: log p(z) in closed form."""
    oracle = LinearGaussian.random(x_size=3, z_size=2)
    prior = priors.TwoStage(oracle.vae(), num_samples=2)
    z = oracle.sample(20)
    received = prior.distribution().log_prob(z.reshape(4, 5, 3))
    np.testing.assert_allclose(np.ravel(received), oracle.log_prob(z), atol=3e-5)
    covariance = np.cov(prior.sample(20_000, seed=2).numpy().T)
    expected = oracle.W @ oracle.W.T + oracle.noise**2 * np.eye(3)
    np.testing.assert_allclose(covariance, expected, atol=0.15)
    assert prior.trainable_variables == []


def test_a_second_stage_ends_at_the_step_it_was_fitted_to():
    """Schedules are those of the end, and no generator of the caller's is seeded."""
    normal = likelihoods.Normal()
    first = VAE(*networks.mlp(6, 2, hidden=4, likelihood=normal), likelihood=normal)
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    falling = likelihoods.Normal(scale=keras.optimizers.schedules.PolynomialDecay(1.0, 5, 0.05))
    second = VAE(*networks.mlp(2, 2, hidden=4, likelihood=falling), likelihood=falling)
    options = {"epochs": 6, "batch_size": 12, "progress": False}
    fitted = aggregate.fit_two_stage(first, x, second, **options).vae
    assert int(fitted.step.numpy()) == int(second.step.numpy()) > 0
    drawn = []
    for seed in (1, 2):
        np.random.seed(seed)
        aggregate.fit_two_stage(first, x, epochs=1, progress=False, seed=0)
        drawn.append(np.random.rand())
    assert drawn[0] != drawn[1]


def test_a_vamp_prior_is_frozen_without_its_encoder():
    encoder, decoder = networks.mlp(6, 3, hidden=4)
    prior = priors.VampPrior(encoder, num_components=4)
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(), prior=prior)
    prior.trainable = False
    assert not any(weight is prior.pseudo_inputs for weight in model.trainable_variables)
    assert len(model.encoder.trainable_variables) == 4
    prior.trainable = True
    assert any(weight is prior.pseudo_inputs for weight in model.trainable_variables)
    prior.trainable = False
    with pytest.raises(ValueError, match=r"AdversarialAutoencoder .* VampPrior moves with the enc"):
        model.replace(objective=objectives.AdversarialAutoencoder(networks.discriminator(3)))


@pytest.mark.parametrize("prior", [None, "vamp", priors.StandardNormal])
@pytest.mark.parametrize("objective", [objectives.ELBO(), objectives.BetaTC(num_examples=9)])
def test_what_is_no_prior_takes_no_prior_s_place(prior, objective):
    with pytest.raises(TypeError, match="with_prior takes an instance of Prior"):
        vae(objective=objective).with_prior(prior)


def test_one_latent_dimension_has_no_flow():
    normal = likelihoods.Normal()
    model = VAE(*networks.mlp(6, 1, hidden=4, likelihood=normal), likelihood=normal)
    with pytest.raises(ValueError, match=r"there is one\. Use fit_mixture"):
        aggregate.fit_flow(model, np.zeros([9, 6], np.float32))


def test_what_is_no_flow_or_second_stage_is_refused():
    model, x = vae(), np.zeros([9, 6], np.float32)
    with pytest.raises(TypeError, match=r"fits a RealNVP or an MAF.*StandardNormal"):
        aggregate.fit_flow(model, x, priors.StandardNormal(LATENT_DIM))
    with pytest.raises(TypeError, match=r"second stage .* has to be a VAE.*'x'"):
        aggregate.fit_two_stage(model, x, "x")


def test_a_two_stage_prior_with_a_wrong_posterior_is_a_bound_and_a_function_of_z():
    oracle = LinearGaussian.random(x_size=3, z_size=2)
    z = oracle.sample(400)
    exact = oracle.log_prob(z).mean()
    off = [
        priors.TwoStage(oracle.vae(shift=0.4, widen=1.5), num_samples).distribution()
        for num_samples in (1, 64)
    ]
    one, many = (np.mean(p.log_prob(z)) for p in off)
    assert one < many - 0.2 < exact - 0.2
    assert many == pytest.approx(exact, abs=0.03)
    np.testing.assert_array_equal(off[0].log_prob(z), off[0].log_prob(z))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: priors.StandardNormal(3), "takes a VAE of vectors z.*StandardNormal"),
        (vae, "push-forward of standard normals.*Bernoulli"),
    ],
)
def test_what_is_no_vae_of_latents_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        priors.TwoStage(make())


# Where they go.

TRAINED = [*FLOWS, priors.MultivariateNormalMixture, priors.TwoStage, priors.VampPrior]


@pytest.mark.parametrize("cls", TRAINED, ids=lambda cls: cls.__name__)
def test_exports_generate_what_the_model_generates(cls, tmp_path):
    model = ROWS[cls]()
    perturbed(model.prior.vae if cls is priors.TwoStage else model.prior, 0.1)
    if cls is priors.MultivariateNormalMixture:
        model.prior.set_components([0.3, 0.7], np.eye(2, 3), [np.eye(3) + 0.4] * 2)
    functions = endpoints(model, ["generate", "score"])  # refuses random ops
    mean = functions["generate"](num_samples=tf.constant(5), seed=as_seed(7))["mean"]
    np.testing.assert_allclose(mean, model.generate(5, 7), atol=1e-6)
    path = tflite(model, tmp_path / "model.tflite", signatures=["generate"])
    generated = load(path)("generate", seed=[7, 0])["mean"]
    np.testing.assert_allclose(generated, model.generate(len(generated), 7), atol=2e-6)
    assert custom_ops(path.read_bytes()) == []


# Fitted to an aggregate posterior.


def banana(num_examples, seed=0):
    """Examples whose latents have the law z_1 ~ N(0, 1), z_2 ~ N(z_1^2 - 1, 0.3^2), and their model."""
    x = np.random.default_rng(seed).normal(size=(num_examples, 2)).astype(np.float32)
    x[:, 1] = x[:, 0] ** 2 - 1.0
    likelihood = likelihoods.Normal(scale=0.1)
    encoder, decoder = networks.mlp(2, 2, hidden=(), likelihood=likelihood)
    kernel = np.concatenate([np.eye(2), np.zeros((2, 2))], axis=1)
    bias = np.array([0.0, 0.0, -30.0, 2.0 * np.log(0.3)])
    encoder.layers[-1].set_weights([kernel, bias])
    decoder.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    return VAE(encoder, decoder, likelihood=likelihood), x


def law_of_the_banana(z):
    return norm.logpdf(z[:, 0]) + norm.logpdf(z[:, 1], z[:, 0] ** 2 - 1.0, 0.3)


def nats_behind_the_law(prior, vae):
    """Over latents that it was not fitted to: how much less dense than the law itself; the standard
    normal's too.
    """
    z = aggregate.Aggregate.of(vae, banana(2000, seed=9)[1]).draw(seed=9)
    law = law_of_the_banana(z.astype(np.float64)).mean()
    of_each = (prior, priors.StandardNormal(2))
    return tuple(law - np.mean(p.distribution().log_prob(z)) for p in of_each)


def test_draws_of_an_aggregate_posterior_are_not_its_means():
    vae, x = banana(500)
    drawn = aggregate.Aggregate.of(vae, x)
    z = drawn.draw(num_draws=3, seed=4)
    assert z.shape == (1500, 2)
    np.testing.assert_array_equal(z, drawn.draw(num_draws=3, seed=4))
    assert np.std(z[:, 1] - np.tile(x[:, 1], 3)) == pytest.approx(0.3, rel=0.05)
    assert not (z[:500, 1] == z[500:1000, 1]).any()
    train, held_out = drawn.split(0.1, seed=0)
    assert (len(train.params), len(held_out.params)) == (450, 50)
    both = np.concatenate([train.params, held_out.params])
    np.testing.assert_array_equal(np.sort(both[:, 0]), np.sort(drawn.params[:, 0]))


def test_a_fitted_mixture_comes_near_the_aggregate_posterior():
    vae, x = banana(3000)
    prior = aggregate.fit_mixture(vae, x, num_components=8, seed=1)
    behind, standard = nats_behind_the_law(prior, vae)
    assert standard > 1.0
    assert behind < 0.1
    again = aggregate.fit_mixture(vae, x, num_components=8, seed=1)
    np.testing.assert_array_equal(again.loc, prior.loc)


@pytest.mark.parametrize("cls", FLOWS)
def test_a_fitted_flow_comes_near_the_aggregate_posterior(cls):
    vae, x = banana(3000)
    flow = cls(2, num_blocks=2, hidden=(32,))
    settings = {"learning_rate": 1e-2, "progress": False, "seed": 1}
    prior = aggregate.fit_flow(vae, x, flow, epochs=12, **settings)
    assert prior is flow
    behind, standard = nats_behind_the_law(prior, vae)
    assert standard > 1.0
    assert behind < 0.1


def test_a_fitted_second_stage_beats_the_standard_normal():
    vae, x = banana(3000)
    settings = {"learning_rate": 5e-3, "progress": False, "seed": 1}
    prior = aggregate.fit_two_stage(vae, x, epochs=12, **settings)
    behind, standard = nats_behind_the_law(prior, vae)
    assert behind < standard - 0.5
    moments = np.cov(prior.sample(4000, seed=3).numpy().T)
    np.testing.assert_allclose(moments, [[1.0, 0.0], [0.0, 2.09]], atol=0.5)
    model = vae.with_prior(prior)
    assert model.encoder is vae.encoder
    estimate = evaluation.log_likelihood(model, x[:20], 50, progress=False)
    assert not estimate.is_exact
    assert str(estimate).startswith("log p(x) >= ")
    assert "a bound: the prior's density is one" in str(estimate)


def test_fits_are_functions_of_the_seed():
    vae, x = banana(100)
    weights = [
        aggregate.fit_flow(
            vae, x, priors.RealNVP(2, num_blocks=1, hidden=4), epochs=1, seed=2, progress=False
        ).get_weights()
        for _ in range(2)
    ]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_log_likelihood_under_a_mixture_fitted_to_the_true_aggregate():
    """Of the oracle's own data the aggregate posterior is N(0, I): log p(x) in closed form."""
    oracle = LinearGaussian.random()
    model = oracle.vae()
    prior = aggregate.fit_mixture(model, oracle.sample(20_000), num_components=1)
    fitted = model.with_prior(prior)
    assert fitted.encoder is model.encoder
    assert fitted.decoder is model.decoder
    x = oracle.sample(300, seed=5)
    estimate = evaluation.log_likelihood(fitted, x, 100, progress=False)
    assert estimate.is_exact
    np.testing.assert_allclose(estimate.per_example, oracle.log_prob(x), atol=0.15)
    assert estimate.mean == pytest.approx(oracle.log_prob(x).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (lambda vae, x: aggregate.fit_mixture(vae, x, 0), "num_components.*at least 1.*0"),
        (lambda vae, x: aggregate.fit_mixture(vae, x[:11], 4), "at least 12 latents. Received: 11"),
        (lambda vae, x: aggregate.fit_flow(vae, x[:1]), "at least 2 examples. Received: 1"),
        (lambda vae, x: aggregate.fit_flow(vae, x, priors.MAF(3)), "latent_dim=2 and MAF has .*=3"),
        (lambda vae, x: aggregate.fit_flow(vae, x, learning_rate=0.0), "learning_rate.*above 0"),
        (lambda vae, x: aggregate.fit_flow(vae, x, epochs=0), "epochs.*at least 1"),
        (lambda vae, x: aggregate.fit_two_stage(vae, x, num_samples=0), "num_samples.*at least 1"),
        (lambda vae, x: aggregate.fit_mixture(vae, x[:, :1]), r"shape \(2,\)"),
    ],
)
def test_fits_that_cannot_be_are_refused(fit, words):
    with pytest.raises(ValueError, match=words):
        fit(*banana(20))


def test_a_model_that_gives_nan_is_refused():
    vae, x = banana(20)
    vae.encoder.layers[-1].bias.assign(np.full(4, np.nan))
    with pytest.raises(ValueError, match="NaN or infinite latents"):
        aggregate.fit_mixture(vae, x)
