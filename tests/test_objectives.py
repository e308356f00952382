"""Every objective against a closed form, an identity, or a computation by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian
from scipy import special, stats

from keras_vae import VAE, estimators, likelihoods, networks, objectives, posteriors, priors
from keras_vae.objectives import (
    CIWAE,
    DIPVAE,
    ELBO,
    IWAE,
    PIWAE,
    RAE,
    AdversarialAutoencoder,
    BetaTC,
    Capacity,
    Cyclical,
    DReG,
    FactorVAE,
    InfoVAE,
    MultiplyIWAE,
    Perceptual,
    StickingTheLanding,
    StructuralSimilarity,
)

oracle = LinearGaussian.random()
X = oracle.sample(30)


def terms_of(objective, model, x=X):
    """Terms over draws that do not depend on what was drawn before."""
    model.sampling.draws.assign(0)
    return {name: float(value) for name, value in objective(model, x, training=True).items()}


def gradients(objective, model, x=X):
    """Of the loss, for encoder and decoder, each as one vector."""
    model.sampling.draws.assign(0)
    with tf.GradientTape() as tape:
        loss = objective(model, x, training=True)["loss"]
    networks = (model.encoder, model.decoder)
    of_networks = tape.gradient(loss, [[v.value for v in n.trainable_variables] for n in networks])
    return [np.concatenate([np.ravel(g) for g in each]) for each in of_networks]


def off(**parts):
    return oracle.vae(shift=0.3, widen=1.4, **parts)


IDENTITIES = {
    "iwae of one sample": (IWAE(num_samples=1), StickingTheLanding(), 0),
    "ciwae at 0": (CIWAE(num_samples=4, mix=0.0), IWAE(num_samples=4), 1),
    "one bound of many": (MultiplyIWAE(num_samples=4, num_bounds=1), IWAE(num_samples=4), 1),
    "piwae of one bound": (PIWAE(num_samples=4, num_bounds=1), IWAE(num_samples=4), 1),
    "dreg's value": (DReG(num_samples=4), IWAE(num_samples=4), 0),
    "total correlation at 1": (BetaTC(num_examples=30, beta=1.0), IWAE(num_samples=1), 1),
    "no penalty": (DIPVAE(off_diagonal=0.0, diagonal=0.0), ELBO(), 1),
    "no free bits": (ELBO(free_bits=1e-9), ELBO(), 1),
    "infovae as elbo": (InfoVAE(alpha=0.0, scale=1.0), ELBO(), 1),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities(name):
    """The same loss and, where it is the same estimate, the same gradient."""
    ours, known, same_gradient = IDENTITIES[name]
    model = off()
    assert terms_of(ours, model)["loss"] == pytest.approx(terms_of(known, model)["loss"], rel=1e-5)
    if same_gradient:
        for a, b in zip(gradients(ours, model), gradients(known, model), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_ciwae_at_1_is_the_sampled_elbo():
    model = off()
    log_weights = oracle_log_weights(model, 4)
    terms = terms_of(CIWAE(num_samples=4, mix=1.0), model)
    assert terms["loss"] == pytest.approx(-log_weights.mean(), rel=1e-5)
    assert terms["loss"] == terms["negative_elbo"]


def oracle_log_weights(model, num_samples):
    model.sampling.draws.assign(0)
    return model.log_weights(X, num_samples).numpy().astype(np.float64)


def test_bounds_by_hand():
    model = off()
    log_weights = oracle_log_weights(model, 6)
    iwae = special.logsumexp(log_weights, axis=0) - np.log(6)
    halves = special.logsumexp(log_weights.reshape(2, 3, -1), axis=1) - np.log(3)
    mixed = 0.3 * log_weights.mean() + 0.7 * iwae.mean()
    by_hand = {
        CIWAE(num_samples=6, mix=0.3): mixed,
        MultiplyIWAE(num_samples=3, num_bounds=2): halves.mean(),
        PIWAE(num_samples=3, num_bounds=2): iwae.mean(),
        DReG(num_samples=6): iwae.mean(),
    }
    for objective, bound in by_hand.items():
        assert terms_of(objective, model)["loss"] == pytest.approx(-bound, rel=1e-5), objective


def test_piwae_trains_the_encoder_by_the_looser_bounds_and_the_decoder_by_the_tighter():
    model = off()
    ours = gradients(PIWAE(num_samples=3, num_bounds=2), model)
    looser = gradients(MultiplyIWAE(num_samples=3, num_bounds=2), model)
    tighter = gradients(IWAE(num_samples=6), model)
    np.testing.assert_allclose(ours[0], looser[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours[1], tighter[1], rtol=1e-3, atol=1e-4)
    assert np.abs(ours[0] - tighter[0]).max() > 1e-2


def test_what_couples_examples_is_weighted_before_its_gradient():
    """The scale of the batch depends on the z of every example."""
    model = off().replace(likelihood=likelihoods.OptimalNormal())
    split = gradients(PIWAE(num_samples=4, num_bounds=1), model)
    whole = gradients(IWAE(num_samples=4), model)
    for a, b in zip(split, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_dreg_refuses_what_couples_examples():
    with pytest.raises(ValueError, match=r"DReG.*OptimalNormal.*the objective IWAE"):
        off().replace(likelihood=likelihoods.OptimalNormal(), objective=DReG())
    normal = likelihoods.Normal(scale=1.0)
    encoder, decoder = networks.mlp(5, latent_dim=3, hidden=(), likelihood=normal)
    inner = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), decoder])
    outer = keras.Sequential([keras.Input((3,)), inner])
    with pytest.raises(ValueError, match=r"DReG.*BatchNormalization.*without batch normalisation"):
        VAE(encoder, outer, likelihood=normal, objective=DReG())
    inner.layers[0].trainable = False  # its statistics are fixed
    assert VAE(encoder, outer, likelihood=normal, objective=DReG()).objective == DReG()
    held = keras.layers.TimeDistributed(keras.layers.BatchNormalization())
    wrapped = [keras.layers.Reshape((1, 3)), held, keras.layers.Flatten(), decoder]
    with pytest.raises(ValueError, match=r"DReG.*BatchNormalization"):
        VAE(
            encoder,
            keras.Sequential([keras.Input((3,)), *wrapped]),
            likelihood=normal,
            objective=DReG(),
        )


def spread_and_mean(objective, model, times=150):
    draws = []
    for _ in range(times):
        with tf.GradientTape() as tape:
            loss = objective(model, X, training=True)["loss"]
        draws.append(tape.gradient(loss, model.encoder.layers[-1].kernel.value).numpy())
    return np.mean(draws, axis=0), np.std(draws, axis=0)


@pytest.mark.parametrize(
    ("detached", "whole", "model"),
    [
        (StickingTheLanding(), IWAE(num_samples=1), off()),
        (DReG(num_samples=8), IWAE(num_samples=8), oracle.vae(shift=0.05, widen=1.05)),
    ],
)
def test_gradients_without_the_score_have_the_same_mean_and_a_lower_variance(
    detached, whole, model
):
    """Near the true posterior, that is: at initialisation DReG's variance is the higher one."""
    mean, spread = spread_and_mean(detached, model)
    expected, wider = spread_and_mean(whole, model)
    error = np.sqrt(spread**2 + wider**2) / np.sqrt(150)
    assert np.abs((mean - expected) / error).max() < 4.5
    assert spread.mean() < 0.7 * wider.mean()


def test_sticking_the_landing_has_no_noise_at_the_true_posterior():
    _, spread = spread_and_mean(StickingTheLanding(), oracle.vae(), times=5)
    assert spread.max() < 1e-3


def test_the_generative_gradient_of_split_bounds_is_whole():
    model = off()
    for split, whole in ((DReG(num_samples=5), IWAE(num_samples=5)),):
        np.testing.assert_allclose(
            gradients(split, model)[1], gradients(whole, model)[1], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("capacity", [0.0, 50.0])
def test_capacity_pulls_the_rate_from_either_side(capacity):
    model = off()
    terms = terms_of(Capacity(gamma=7.0, capacity=capacity), model)
    expected = terms["distortion"] + 7.0 * abs(terms["rate"] - capacity)
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_free_bits_are_counted_by_dimension():
    model = off()
    params = model.encode(X).numpy()
    loc, log_variance = np.split(params, 2, axis=1)
    kl = 0.5 * (loc**2 + np.exp(log_variance) - 1 - log_variance).mean(axis=0)
    free = float(np.sort(kl)[1]) + 0.05
    terms = terms_of(ELBO(free_bits=free), model)
    expected = terms["distortion"] + np.maximum(kl, free).sum()
    assert terms["loss"] == pytest.approx(expected, rel=1e-4)
    assert terms["rate"] == pytest.approx(kl.sum(), rel=1e-4)


def test_total_correlation_is_that_of_the_aggregate():
    """With a batch that is the whole set, the aggregate is a mixture whose density is known."""
    model = off()
    model.sampling.draws.assign(0)
    q, z = model.infer(X)
    loc, scale = q.distribution.loc.numpy(), q.distribution.scale.numpy()
    each = stats.norm(loc, scale).logpdf(z.numpy()[:, np.newaxis, :])  # [i, j, d]
    joint = special.logsumexp(each.sum(axis=2), axis=1) - np.log(30)
    apart = (special.logsumexp(each, axis=1) - np.log(30)).sum(axis=1)
    ours = estimators.aggregate_log_probs(q, z, 30, stratified=False)
    # Weighted sampling counts every example of the set once more.
    np.testing.assert_allclose(ours[0], joint - np.log(30), rtol=1e-4)
    np.testing.assert_allclose(ours[1], apart - 3 * np.log(30), rtol=1e-4)
    weights = np.full((30, 30), 1 / 29)
    np.fill_diagonal(weights, 1 / 1000)
    weights[np.arange(30), (np.arange(30) + 1) % 30] = (1000 - 29) / (1000 * 29)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    stratified = special.logsumexp(each.sum(axis=2), axis=1, b=weights)
    ours = estimators.aggregate_log_probs(q, z, 1000, stratified=True)
    np.testing.assert_allclose(ours[0], stratified, rtol=1e-4)


def test_a_batch_of_one_has_an_aggregate():
    q, z = off().infer(X[:1])
    for stratified in (False, True):
        values = estimators.aggregate_log_probs(q, z, 10, stratified=stratified)
        assert np.isfinite(values).all()


@pytest.mark.parametrize("form", ["i", "ii"])
def test_dip_penalises_the_covariance(form):
    model = off()
    loc, log_variance = np.split(model.encode(X).numpy().astype(np.float64), 2, axis=1)
    matrix = np.cov(loc, rowvar=False, bias=True)
    if form == "ii":
        matrix += np.diag(np.exp(log_variance).mean(axis=0))
    own = np.diag(matrix)
    expected = 3.0 * ((matrix**2).sum() - (own**2).sum()) + 5.0 * ((own - 1) ** 2).sum()
    terms = terms_of(DIPVAE(off_diagonal=3.0, diagonal=5.0, form=form), model)
    assert terms["covariance_penalty"] == pytest.approx(expected, rel=1e-3)
    assert terms["loss"] == pytest.approx(terms["negative_elbo"] + expected, rel=1e-4)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_discrepancy_by_hand_and_between_equals(kernel):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(size, 2)).astype(np.float32) for size in (40, 25))

    def k(x, y):
        squares = ((x[:, None] - y[None]) ** 2).sum(-1)
        if kernel == "rbf":
            return np.exp(-squares / 4)
        return sum(4 * s / (4 * s + squares) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    def apart(x):
        return (k(x, x).sum() - np.trace(k(x, x))) / (len(x) * (len(x) - 1))

    by_hand = apart(a) + apart(b) - 2 * k(a, b).mean()
    ours = float(estimators.maximum_mean_discrepancy(a, b, kernel))
    assert ours == pytest.approx(by_hand, abs=1e-4)
    many = rng.normal(size=(2, 1000, 2)).astype(np.float32)
    alike = float(estimators.maximum_mean_discrepancy(*many, kernel))
    moved = float(estimators.maximum_mean_discrepancy(many[0], many[1] + 0.5, kernel))
    assert abs(alike) < 0.02
    assert moved > 5 * abs(alike)
    for single in ((a[:1], b), (a, b[:1]), (a[:1], b[:1])):  # no pairs: no estimate
        rows = [tf.Variable(each) for each in single]
        with tf.GradientTape() as tape:
            found = estimators.maximum_mean_discrepancy(*map(tf.convert_to_tensor, rows), kernel)
        assert float(found) == 0.0
        for gradient in tape.gradient(found, rows):
            np.testing.assert_array_equal(gradient, 0.0)


def test_infovae_by_its_terms():
    terms = terms_of(InfoVAE(alpha=0.6, scale=10.0, kernel="rbf"), off())
    expected = terms["distortion"] + 0.4 * terms["rate"] + 9.6 * terms["mmd"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-4)


def test_cyclical_weight_is_read_in_the_graph():
    model = off(objective=ELBO(beta=Cyclical(4, rising=0.5, high=2.0)))
    model.compile("sgd", jit_compile=False)
    model.optimizer.learning_rate = 0.0
    seen = []
    for step in range(9):
        terms = model.train_on_batch(X, return_dict=True)
        model.reset_metrics()
        seen.append((terms["loss"] - terms["distortion"]) / terms["rate"])
        assert int(model.step.numpy()) == step + 1
    np.testing.assert_allclose(seen, [0, 1, 2, 2, 0, 1, 2, 2, 0], atol=1e-3)


FULL = priors.NormalMixture(3, num_components=2)


@pytest.mark.parametrize("objective", [BetaTC(num_examples=30), ELBO(free_bits=0.1), IWAE()])
def test_an_objective_of_dimensions_gives_way_to_a_prior_without_them(objective):
    model = off(objective=objective)
    fitted = model.with_prior(FULL)
    assert fitted.encoder is model.encoder
    assert fitted.objective == (IWAE() if objective == IWAE() else ELBO())
    assert model.with_prior(priors.StandardNormal(3)).objective == objective


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: off(objective=BetaTC(num_examples=30), prior=FULL), "BetaTC .* NormalMixture"),
        (lambda: off(objective=ELBO(free_bits=0.1), prior=FULL), "ELBO .* NormalMixture"),
        (lambda: ELBO(beta=-1.0), "beta"),
        (lambda: ELBO(free_bits=-1.0), "free_bits"),
        (lambda: ELBO(free_bits=Cyclical(5)), "free_bits.*ELBO.*schedule Cyclical"),
        (lambda: RAE(gradient_penalty=Cyclical(5)), "gradient_penalty.*RAE.*schedule"),
        (lambda: StructuralSimilarity(value_range=Cyclical(5)), "value_range.*schedule"),
        (lambda: priors.RelaxedCategorical(4, 2, temperature=Cyclical(5)), "temperature.*schedule"),
        (lambda: DIPVAE(form=1), "Unknown form 1"),
        (lambda: DReG(num_samples=0), "num_samples"),
        (lambda: PIWAE(num_bounds=0), "num_bounds"),
        (lambda: CIWAE(mix=1.5), "mix"),
        (lambda: BetaTC(num_examples=1), "num_examples"),
        (lambda: BetaTC(num_examples=9, sampling="all"), "sampling"),
        (lambda: DIPVAE(form="iii"), "form"),
        (lambda: InfoVAE(alpha=0.0, scale=0.5), "alpha"),
        *((lambda a=a: InfoVAE(alpha=a), '"alpha" of InfoVAE') for a in ("0.5", [0.5], True, 1j)),
        (lambda: InfoVAE(alpha=float("-inf")), '"alpha" of InfoVAE'),
        (lambda: InfoVAE(kernel="linear"), "kernel"),
        (lambda: Cyclical(0), "period"),
        (lambda: Cyclical(5, rising=1.5), "rising"),
        (lambda: Cyclical(5, high=Cyclical(5)), "high.*Cyclical.*schedule"),
        (lambda: Capacity(capacity=-1.0), "capacity"),
    ],
)
def test_misfits_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("fields", [{}, {"terms": ("loss",)}, {"terms": ("a",), "monitor": "a"}])
def test_an_objective_has_to_declare_its_terms(fields):
    with pytest.raises(
        TypeError, match="Mine: terms have to begin with 'loss' and hold the monitor"
    ):
        type("Mine", (objectives.Objective,), fields)


def edges():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])


OBJECTIVES = {
    "elbo": ELBO, "sticking": StickingTheLanding, "iwae": lambda: IWAE(num_samples=2),
    "dreg": lambda: DReG(num_samples=2), "ciwae": lambda: CIWAE(num_samples=2),
    "piwae": lambda: PIWAE(num_samples=2), "multiply": lambda: MultiplyIWAE(num_samples=2),
    "capacity": Capacity, "dip": DIPVAE, "info": InfoVAE, "tc": lambda: BetaTC(num_examples=16),
    "factor": lambda: FactorVAE(networks.discriminator(2, hidden=3)),
    "adversarial": lambda: AdversarialAutoencoder(networks.discriminator(2, hidden=3)),
    "rae": lambda: RAE(weight_decay=0.1, gradient_penalty=0.1),
    "similarity": lambda: StructuralSimilarity(filter_size=2),
    "perceptual": lambda: Perceptual(edges()),
}  # fmt: skip
PRIORS = {
    "normal": lambda: priors.StandardNormal(2),
    "mixture": lambda: priors.NormalMixture(2, num_components=3),
    "conditional": lambda: priors.ConditionalNormal(networks.conditional({"label": 3}, 4)),
}
REFUSED = {
    ("tc", "mixture"),  # see test_misfits_are_refused
    *((name, prior) for name in ("adversarial", "rae") for prior in ("mixture", "conditional")),
}


@pytest.mark.parametrize(
    ("name", "prior"), sorted({(name, prior) for name in OBJECTIVES for prior in PRIORS} - REFUSED)
)
def test_every_objective_under_every_prior(name, prior):
    """A step eagerly: every weight that trains has a finite gradient."""
    objective = OBJECTIVES[name]()
    likelihood = likelihoods.Bernoulli(event_rank=3)
    point = posteriors.Normal() if objective.needs_density else posteriors.Deterministic()
    model = VAE(
        *networks.mlp((4, 4, 1), 2, hidden=3, posterior=point, likelihood=likelihood),
        likelihood=likelihood,
        posterior=point,
        prior=PRIORS[prior](),
        objective=objective,
    )
    rng = np.random.default_rng(0)
    x = (rng.random((16, 4, 4, 1)) < 0.5).astype(np.float32)
    batch = {"x": x, "label": rng.integers(0, 3, 16)}
    with tf.GradientTape() as tape:
        loss = objective(model, batch, training=True)["loss"]
    for weight, gradient in zip(
        model.trainable_variables,
        tape.gradient(loss, [v.value for v in model.trainable_variables]),
        strict=True,
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), weight.path


def test_objectives_that_exist_are_all_here():
    listed = {type(make()) for make in OBJECTIVES.values()}
    public = {getattr(objectives, name) for name in objectives.__all__}
    parts = {
        each for each in public if isinstance(each, type) and issubclass(each, objectives.Objective)
    }
    assert parts - {objectives.Objective} == listed
    assert keras.saving.get_registered_object("keras_vae.objectives>BetaTC") is BetaTC
