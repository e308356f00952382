"""Posteriors against other implementations, closed forms and their own draws; what they do not fit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conformance.rows import EVENT_SIZE, LATENT_DIM, ROWS, data_for, vae
from oracles import LinearGaussian
from scipy import special, stats

from keras_vae import VAE, likelihoods, networks, objectives, posteriors, priors
from keras_vae._parts import at_step
from keras_vae.applications import anomaly_scores, control
from keras_vae.estimators import kl_divergence
from keras_vae.export import endpoints, parity, saved_model, tflite
from keras_vae.models import NotMIWAE
from keras_vae.noise import standard_normals

tfd = tfp.distributions

DIM = 3
SEED = tf.constant([3, 4])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def iaf(**sizes) -> posteriors.IAF:
    keras.utils.set_random_seed(0)
    posterior = posteriors.IAF(DIM, **({"num_steps": 3, "hidden": 7, "context_size": 4} | sizes))
    rng = np.random.default_rng(2)
    for step in posterior.steps:  # far enough from where it starts for the flow to bend
        step.outwards.assign(0.6 * rng.normal(size=step.outwards.shape))
    return posterior


FLOWS = {"PlanarFlow": lambda: posteriors.PlanarFlow(num_layers=3), "IAF": iaf}
ALL = FLOWS | {
    "Normal": posteriors.Normal,
    "MultivariateNormal": posteriors.MultivariateNormal,
    "PowerSpherical": posteriors.PowerSpherical,
    "RelaxedCategorical": lambda: posteriors.RelaxedCategorical(num_categories=DIM),
}


def params_of(posterior, rows=4, scale=0.4):
    size = posterior.params_size(DIM)
    return tf.constant(scale * np.random.default_rng(1).normal(size=(rows, size)), tf.float32)


# Numbers.


@pytest.mark.parametrize("name", ALL)
def test_draws_follow_the_density(name):
    """E_q[p(z) / q(z)] = 1 for densities p inside q, each with its own K and batch axes."""
    posterior = ALL[name]()
    params = params_of(posterior)
    q, z = posterior.draw(params, 20_000, SEED)
    assert z.shape == (20_000, 4, DIM)
    assert (q.batch_shape, q.event_shape) == ((4,), (DIM,))
    log_q = q.log_prob(z)
    if posterior.support == "real":
        middle, around = np.mean(z, axis=0), np.std(z, axis=0)
        inside = [tfd.Normal(middle + shift * around, 0.5 * around) for shift in (-0.5, 0.5)]
        inside = [tfd.Independent(p, 1) for p in inside]
    else:
        inside = [posterior.distribution(0.5 * params), posterior.distribution(0.0 * params)]
    for p in inside:
        ratios = np.exp(p.log_prob(z) - log_q).astype(np.float64)
        error = np.std(ratios, axis=0) / np.sqrt(len(ratios))
        assert (error < 0.1).all()
        assert (np.abs(np.mean(ratios, axis=0) - 1.0) < 4.5 * error).all()
    if (stddev := posterior.stddev(params)) is not None:
        np.testing.assert_allclose(np.std(z, axis=0), stddev, rtol=0.03)


def multivariate_params(mean, covariance):
    """What the encoder of a `MultivariateNormal` gives for that mean and covariance."""
    factor = np.linalg.cholesky(covariance)
    below = factor[np.tril_indices(len(factor), -1)]
    return np.concatenate([mean, 2 * np.log(np.diag(factor)), below]).astype(np.float32)


def test_a_multivariate_normal_is_scipys(rng):
    root = rng.normal(size=(DIM, DIM))
    mean, covariance = rng.normal(size=DIM), root @ root.T + 0.1 * np.eye(DIM)
    posterior, params = posteriors.MultivariateNormal(), multivariate_params(mean, covariance)
    z = rng.normal(size=(5, DIM))
    q = posterior.distribution(tf.constant(params))
    expected = stats.multivariate_normal(mean, covariance).logpdf(z)
    np.testing.assert_allclose(q.log_prob(z.astype(np.float32)), expected, rtol=1e-4)
    np.testing.assert_allclose(posterior.stddev(params), np.sqrt(np.diag(covariance)), rtol=1e-5)
    spread = posterior.transform(tf.constant([params]), tf.eye(DIM)) - posterior.location(params)
    np.testing.assert_allclose(spread, np.linalg.cholesky(covariance).T, atol=1e-5)


def test_the_rate_of_a_multivariate_normal_is_closed(rng):
    """Against products of normals: 1/2 [tr(S^-1 C) + d' S^-1 d - D + log |S| - log |C|]."""
    posterior = posteriors.MultivariateNormal()
    params = params_of(posterior)
    loc, scale = rng.normal(size=DIM).astype(np.float32), np.float32([0.5, 1.0, 2.0])
    q = posterior.distribution(params)
    C, d = q.covariance().numpy(), q.mean().numpy() - loc
    expected = np.trace(C / scale**2, axis1=1, axis2=2) + np.sum((d / scale) ** 2, axis=1) - DIM
    expected += 2 * np.sum(np.log(scale)) - np.linalg.slogdet(C)[1]
    p = tfd.Independent(tfd.Normal(loc, scale), 1)
    no_sample = tf.fill([4, DIM], np.nan)
    np.testing.assert_allclose(kl_divergence(q, p, no_sample), expected / 2, rtol=1e-5)


def test_a_multivariate_normal_can_be_the_true_posterior(rng):
    """Whose bound is log p(x) at every draw, also where latents depend on each other given x."""
    truth = LinearGaussian(rng.normal(size=(5, DIM)), rng.normal(size=5), noise=0.7)
    covariance = np.linalg.inv(np.eye(DIM) + truth.W.T @ truth.W / truth.noise**2)
    assert np.abs(np.corrcoef(np.linalg.inv(covariance))[0, 1]) > 0.05
    to_mean = truth.W @ covariance / truth.noise**2
    posterior, likelihood = posteriors.MultivariateNormal(), likelihoods.Normal(scale=truth.noise)
    encoder, decoder = networks.mlp(5, DIM, hidden=(), posterior=posterior, likelihood=likelihood)
    bias = multivariate_params(-truth.b @ to_mean, covariance)
    kernel = np.pad(to_mean, [(0, 0), (0, len(bias) - DIM)])
    encoder.layers[-1].set_weights([kernel, bias])
    decoder.layers[-1].set_weights([truth.W.T, truth.b])
    model = VAE(encoder, decoder, likelihood=likelihood, posterior=posterior)
    x = truth.sample(6)
    expected = np.tile(truth.log_prob(x), (3, 1))
    np.testing.assert_allclose(model.log_weights(x, 3), expected, atol=1e-4)


@pytest.mark.parametrize("name", FLOWS)
def test_the_density_of_a_flow_is_that_of_its_jacobian(name, rng):
    posterior = FLOWS[name]()
    params = params_of(posterior, scale=1.5)
    noise = tf.constant(rng.normal(size=(4, DIM)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        q, z = posterior.push_forward(params, noise)
    sign, log_det = np.linalg.slogdet(tape.batch_jacobian(z, noise).numpy().astype(np.float64))
    np.testing.assert_array_equal(sign, 1.0)
    expected = stats.norm.logpdf(noise).sum(axis=1) - log_det
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(z, posterior.transform(params, noise))
    np.testing.assert_array_equal(
        posterior.location(params), posterior.transform(params, 0 * noise)
    )


def test_every_planar_layer_is_invertible(rng):
    """With parameters that as they are would fold space over."""
    posterior = posteriors.PlanarFlow(num_layers=1)
    params = params_of(posterior, rows=500, scale=5.0)
    noise = tf.constant(rng.normal(size=(500, DIM)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = posterior.transform(params, noise)
    assert (np.linalg.det(tape.batch_jacobian(z, noise).numpy().astype(np.float64)) > 0).all()


def test_narrow_steps_of_an_iaf_read_latents_throughout():
    for hidden, missing in ((4, 0.3), (10, 0.0), (32, 0.0)):
        for number, step in enumerate(posteriors.IAF(10, num_steps=2, hidden=hidden).steps):
            reads = (step._into @ step._out_of)[:, :10].T > 0
            reads = reads[::-1, ::-1] if number % 2 else reads
            assert not np.triu(reads).any()
            assert reads.sum() >= 45 * (1 - missing)
            assert reads[:, :7].any(axis=0).all()


def test_every_step_of_an_iaf_is_triangular_in_the_order_opposite_to_the_last(rng):
    for number, step in enumerate(iaf().steps):
        z = tf.constant(rng.normal(size=(4, DIM)), tf.float32)
        context = tf.constant(rng.normal(size=(4, 4)), tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([z, context])
            moved, _ = step.forward(z, context)
        jacobian = tape.batch_jacobian(moved, z).numpy()
        jacobian = jacobian[:, ::-1, ::-1] if number % 2 else jacobian
        np.testing.assert_array_equal(jacobian, np.tril(jacobian))
        assert (np.abs(jacobian[:, *np.tril_indices(DIM, -1)]) > 1e-6).all()
        assert (np.abs(tape.batch_jacobian(moved, context)) > 1e-9).any(axis=-1).all()


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_of_identities_is_the_diagonal_normal(name):
    posterior, normal = FLOWS[name](), params_of(posteriors.Normal())
    for step in getattr(posterior, "steps", ()):
        step.outwards.assign(tf.zeros_like(step.outwards))
        step.out_bias.assign(np.repeat([5.0, 40.0], DIM))  # every gate is open
    rest = posterior.params_size(DIM) - 2 * DIM
    w_alone = tf.concat([tf.zeros([4, rest - DIM - 1]), tf.ones([4, DIM + 1])], axis=-1)
    q, z = posterior.draw(tf.concat([normal, w_alone], axis=-1), 5, SEED)
    expected, same = posteriors.Normal().draw(normal, 5, SEED)
    np.testing.assert_allclose(z, same, atol=1e-6)
    np.testing.assert_allclose(q.log_prob(z), expected.log_prob(same), atol=1e-4)


def test_a_flow_knows_the_density_of_its_own_draws_alone():
    posterior = posteriors.PlanarFlow(num_layers=2)
    q = posterior.distribution(params_of(posterior))
    with pytest.raises(ValueError, match=r"own latest draw alone.*such as Normal"):
        q.log_prob(tf.zeros([4, DIM]))
    z = q.sample(5, seed=7)
    assert q.log_prob(z).shape == (5, 4)
    with pytest.raises(ValueError, match="own latest draw alone"):
        q.log_prob(tf.identity(z))


def test_the_rate_of_a_power_spherical_is_that_of_its_formula(rng):
    """In three dimensions log (1 + c) - c / (1 + c) for the concentration c."""
    raw = np.float32([-1.0, 0.0, 2.0, 6.0])
    params = tf.constant(np.column_stack([rng.normal(size=(4, DIM)), raw]), tf.float32)
    q = posteriors.PowerSpherical().distribution(params)
    prior = priors.HypersphericalUniform(DIM).distribution()
    c = np.exp(raw)
    rate = kl_divergence(q, prior, tf.fill([4, DIM], np.nan))
    np.testing.assert_allclose(rate, np.log1p(c) - c / (1 + c), rtol=1e-4)
    z = tf.math.l2_normalize(tf.constant(rng.normal(size=(5, DIM)), tf.float32), axis=-1)
    np.testing.assert_allclose(prior.log_prob(z), -np.log(4 * np.pi), rtol=1e-5)


def test_the_gradient_through_a_power_spherical_is_unbiased(rng):
    """d E[mean . z] / dc = (D - 1) / (D - 1 + c)^2, where von Mises-Fisher's is off: above three
    dimensions."""
    posterior, size = posteriors.PowerSpherical(), 6
    raw = tf.constant([0.0, 1.5, 4.0])
    noise = standard_normals(SEED, tf.constant([20_000, 3, size + 2]))
    direction = tf.constant(rng.normal(size=(3, size)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        params = tf.concat([direction, raw[:, tf.newaxis]], axis=-1)
        z, mean = posterior.transform(params, noise), posterior.location(params)
        cosine = tf.reduce_mean(tf.reduce_sum(z * mean, axis=-1), axis=0)
    c = np.exp(raw)
    np.testing.assert_allclose(tf.norm(z, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(cosine, c / (size - 1 + c), atol=0.01)
    expected = c * (size - 1) / (size - 1 + c) ** 2
    np.testing.assert_allclose(tape.gradient(cosine, raw), expected, rtol=0.03, atol=0.003)


def test_a_power_spherical_stays_finite_wherever_the_encoder_points():
    posterior = posteriors.PowerSpherical()
    params = tf.constant([[0.0] * 4, [1e4, 0, 0, 50.0], [0, -3e3, 0, -50.0]])
    noise = standard_normals(SEED, tf.constant([2000, 3, DIM + 2]))
    with tf.GradientTape() as tape:
        tape.watch(params)
        q, z = posterior.push_forward(params, noise)
        rate = kl_divergence(q, tfd.SphericalUniform(DIM), z)
        loss = tf.reduce_mean(q.log_prob(z)) + tf.reduce_sum(rate) + tf.reduce_mean(z)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, params)).all()


def test_a_relaxed_categorical_has_the_published_density(rng):
    """(K-1)! T^(K-1) prod_k (a_k z_k^(-T-1)) / (sum_k a_k z_k^-T)^K for each of two groups."""
    temperature, logits = 0.7, rng.normal(size=(2, 3))
    z = special.softmax(rng.normal(size=(5, 2, 3)), axis=-1)
    a = special.softmax(logits, axis=-1)
    top = np.prod(a * z ** (-temperature - 1), axis=-1)
    density = 2 * temperature**2 * top / np.sum(a * z**-temperature, axis=-1) ** 3
    posterior = posteriors.RelaxedCategorical(num_categories=3, temperature=temperature)
    q = posterior.distribution(tf.constant(logits.reshape(6), tf.float32))
    log_q = q.log_prob(tf.constant(z.reshape(5, 6), tf.float32))
    np.testing.assert_allclose(log_q, np.log(density).sum(axis=1), rtol=1e-4, atol=1e-4)
    prior = priors.RelaxedCategorical(6, num_categories=3, temperature=temperature)
    density = 2 * temperature**2 * np.prod(z ** (-temperature - 1) / 3, axis=-1)
    density /= np.mean(z**-temperature, axis=-1) ** 3
    log_p = prior.distribution().log_prob(tf.constant(z.reshape(5, 6), tf.float32))
    np.testing.assert_allclose(log_p, np.log(density).sum(axis=1), rtol=1e-4, atol=1e-4)


def test_the_largest_element_of_a_relaxed_category_is_the_category(rng):
    posterior = posteriors.RelaxedCategorical(num_categories=3, temperature=0.3)
    logits = tf.constant(rng.normal(size=(2, 6)), tf.float32)
    _, z = posterior.draw(logits, 20_000, SEED)
    np.testing.assert_allclose(tf.reduce_sum(z, axis=-1), 2.0, atol=1e-5)
    hard = np.argmax(np.reshape(z, (-1, 2, 2, 3)), axis=-1)
    shares = np.mean(hard[..., np.newaxis] == np.arange(3), axis=0)
    expected = special.softmax(np.reshape(logits, (2, 2, 3)), axis=-1)
    np.testing.assert_allclose(shares, expected, atol=0.015)
    np.testing.assert_allclose(
        np.reshape(posterior.location(logits), (2, 2, 3)), expected, rtol=1e-5
    )
    uniform = priors.RelaxedCategorical(6, num_categories=3).sample(20_000, seed=1)
    hard = np.argmax(np.reshape(uniform, (-1, 2, 3)), axis=-1)
    np.testing.assert_allclose(np.mean(hard == 1, axis=0), 1 / 3, atol=0.015)


def test_a_temperature_may_fall_with_the_steps_as_far_as_float32_goes():
    cooling = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0)
    posterior = posteriors.RelaxedCategorical(num_categories=DIM, temperature=cooling)
    logits, noise = params_of(posterior), standard_normals(SEED, tf.constant([4, 2 * DIM]))
    for step, temperature in ((0, 1.0), (5, 0.5), (10, 0.2)):
        fixed = posteriors.RelaxedCategorical(num_categories=DIM, temperature=temperature)
        now, z = at_step(posterior, step), fixed.transform(logits, noise)
        np.testing.assert_allclose(now.transform(logits, noise), z, rtol=1e-5)
        expected = fixed.distribution(logits).log_prob(z)
        np.testing.assert_allclose(now.distribution(logits).log_prob(z), expected, rtol=1e-5)


# What each works with, and what is refused.


def test_relaxed_categories_in_batches_of_any_size():
    """The last batch is smaller: its size is not known in the graph, that of z is."""
    categorical = {"num_categories": 2, "temperature": 0.5}
    posterior = posteriors.RelaxedCategorical(**categorical)
    model = VAE(
        *networks.mlp(6, 4, hidden=(5,), posterior=posterior),
        likelihood=likelihoods.Bernoulli(),
        posterior=posterior,
        prior=priors.RelaxedCategorical(4, **categorical),
        objective=objectives.IWAE(num_samples=2),
    )
    model.compile("adam", jit_compile=False)
    x = np.random.default_rng(0).integers(0, 2, [7, 6]).astype(np.float32)
    assert np.isfinite(model.fit(x, batch_size=3, verbose=0).history["loss"]).all()
    assert np.isfinite(model.evaluate(x, batch_size=3, verbose=0)).all()


NEW = ("MultivariateNormal", "PlanarFlow", "IAF", "PowerSpherical", "RelaxedCategorical")


def over_vamp() -> VAE:
    posterior = posteriors.MultivariateNormal()
    encoder, decoder = networks.mlp(EVENT_SIZE, LATENT_DIM, hidden=8, posterior=posterior)
    prior = priors.VampPrior(encoder, posterior, num_components=4)
    return vae(posterior=posterior, prior=prior, networks_of=(encoder, decoder))


@pytest.mark.parametrize("name", NEW)
def test_exported_files_give_what_the_live_model_gives(name, tmp_path):
    make = over_vamp if name == "MultivariateNormal" else ROWS[getattr(posteriors, name)]
    model = make()
    files = (
        saved_model(model, tmp_path / "saved"),
        tflite(model, tmp_path / "model.tflite"),
    )
    rows = parity(model, *files).rows
    assert {(row.file, row.signature) for row in rows} >= {
        (path.name, signature) for path in files for signature in ("encode", "generate")
    }
    assert max(row.largest_difference for row in rows) < 1e-5


@pytest.mark.parametrize("name", NEW)
def test_embeddings_bounds_and_scores(name):
    model = ROWS[getattr(posteriors, name)]()
    x = data_for(model, 5)
    z = model.embed(x)
    assert np.isfinite(anomaly_scores(model, x, score="elbo", num_samples=2)).all()
    assert np.isfinite(anomaly_scores(model, x, score="log_likelihood", num_samples=2)).all()
    encoded = endpoints(model, ["encode"])["encode"](x=tf.constant(x))
    if model.posterior.stddev(model.encode(x)) is None:
        assert list(encoded) == ["location"]
        with pytest.raises(ValueError, match=f"{name} has no standard deviation.*such as Normal"):
            model.embed(x, with_stddev=True)
    else:
        np.testing.assert_allclose(
            model.embed(x, with_stddev=True)[:, LATENT_DIM:], encoded["stddev"]
        )
    if model.prior.support == "real":
        return
    path, other = {"sphere": ("linear", "spherical"), "simplex": ("spherical", "linear")}[
        model.prior.support
    ]
    assert model.interpolate(x[:2], x[2:4], path=other).shape == (2, 8, EVENT_SIZE)
    with pytest.raises(ValueError, match=f"{path}.* leaves the {model.prior.support}.*{other}"):
        model.interpolate(x[:2], x[2:4], path=path)
    for move in (control.traversals, lambda *given: control.apply_attribute(*given, z[0])):
        with pytest.raises(ValueError, match=f"takes z off the {model.prior.support}.*interpolate"):
            move(model, x)


def not_miwae():
    row = ROWS[NotMIWAE]()
    posterior = posteriors.PlanarFlow(num_layers=1)
    encoder, decoder = networks.table(
        row.likelihood, LATENT_DIM, hidden=4, has_missing=True, posterior=posterior
    )
    return NotMIWAE(
        encoder, decoder, row.missingness, likelihood=row.likelihood, posterior=posterior
    )


def flow_vamp(posterior):
    encoder, _ = networks.mlp(EVENT_SIZE, LATENT_DIM, hidden=4, posterior=posterior)
    return priors.VampPrior(encoder, posterior)


PLANAR = posteriors.PlanarFlow(num_layers=1)
FULL = posteriors.MultivariateNormal()
SPHERE = posteriors.PowerSpherical()
GROUPS = posteriors.RelaxedCategorical(num_categories=LATENT_DIM)
MISFITS = {
    "sphere and normal": (
        lambda: vae(posterior=SPHERE),
        "PowerSpherical.*sphere.*StandardNormal.*real.*PowerSpherical with HypersphericalUniform",
    ),
    "normal and sphere": (
        lambda: vae(prior=priors.HypersphericalUniform(LATENT_DIM)),
        "Normal.*real.*HypersphericalUniform.*sphere.*Normal with StandardNormal",
    ),
    "simplex and normal": (
        lambda: vae(posterior=GROUPS),
        "RelaxedCategorical.*simplex.*StandardNormal.*RelaxedCategorical with the prior",
    ),
    "other categories": (
        lambda: vae(posterior=GROUPS, prior=priors.RelaxedCategorical(LATENT_DIM * 2, 2)),
        r"prior RelaxedCategorical holds groups of 2.*num_categories=2.*num_categories=3",
    ),
    "total correlation": (
        lambda: vae(posterior=FULL, objective=objectives.BetaTC(num_examples=9)),
        "BetaTC.*MultivariateNormal.*such as Normal",
    ),
    "moments": (
        lambda: vae(posterior=FULL, objective=objectives.DIPVAE()),
        "DIPVAE.*MultivariateNormal.*such as Normal",
    ),
    "free bits": (
        lambda: vae(posterior=FULL, objective=objectives.ELBO(free_bits=0.1)),
        "free_bits=0.1 of ELBO.*MultivariateNormal.*such as Normal",
    ),
    "paths of a flow": (
        lambda: vae(posterior=PLANAR, objective=objectives.StickingTheLanding()),
        "StickingTheLanding.*PlanarFlow.*MultivariateNormal.*such as ELBO or IWAE",
    ),
    "weights of a flow": (
        lambda: vae(posterior=PLANAR, objective=objectives.DReG()),
        "DReG.*PlanarFlow.*MultivariateNormal.*such as ELBO or IWAE",
    ),
    "parts of a flow": (
        lambda: vae(posterior=PLANAR, objective=objectives.PIWAE()),
        "PIWAE.*PlanarFlow.*MultivariateNormal.*such as ELBO or IWAE",
    ),
    "missingness of a flow": (not_miwae, "NotMIWAE.*PlanarFlow.*such as Normal"),
    "mixture of flows": (
        lambda: flow_vamp(PLANAR),
        "VampPrior.*such as Normal or MultivariateNormal.*PlanarFlow.*own draws",
    ),
    "mixture on a sphere": (
        lambda: flow_vamp(SPHERE),
        "VampPrior.*such as Normal or MultivariateNormal.*PowerSpherical.*'sphere'",
    ),
    "latents of another size": (
        lambda: vae(posterior=posteriors.IAF(LATENT_DIM + 1)),
        f"IAF was made for latent_dim={LATENT_DIM + 1}, and {LATENT_DIM}",
    ),
    "groups that do not fit in": (
        lambda: vae(posterior=posteriors.RelaxedCategorical(num_categories=2)),
        "num_categories=2.*latent_dim=3.*multiple",
    ),
    "a sphere of one dimension": (lambda: priors.HypersphericalUniform(1), "at least 2"),
    "one category": (lambda: posteriors.RelaxedCategorical(num_categories=1), "at least 2"),
    "too cold": (
        lambda: posteriors.RelaxedCategorical(temperature=0.1),
        "temperature.*at least 0.2.*underflow.*0.1",
    ),
    "no layers": (lambda: posteriors.PlanarFlow(num_layers=0), "num_layers.*at least 1"),
    "no steps": (lambda: posteriors.IAF(2, num_steps=0), "num_steps.*at least 1"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_misfits_are_refused(misfit):
    make, message = MISFITS[misfit]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def test_draws_without_a_gradient_are_refused():
    class Codes(posteriors.Normal):
        reparameterized = False

    with pytest.raises(ValueError, match=r"ELBO.*Codes.*such as RelaxedCategorical"):
        vae(posterior=Codes())


@pytest.mark.parametrize("name", ["MultivariateNormal", "PowerSpherical", "RelaxedCategorical"])
def test_posteriors_that_stand_still_take_bounds_of_their_paths(name):
    row = ROWS[getattr(posteriors, name)]()
    model = row.replace(objective=objectives.DReG(num_samples=2))
    x = tf.constant(data_for(model, 4))
    with tf.GradientTape() as tape:
        loss = model.objective(model, x, training=True)["loss"]
    gradients = tape.gradient(loss, [v.value for v in model.encoder.trainable_variables])
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
