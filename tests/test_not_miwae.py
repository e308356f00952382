"""Values missing not at random: against quadrature on a linear-Gaussian model."""

import keras
import numpy as np
import pytest
from oracles import LinearGaussian

from keras_vae import evaluation, export, likelihoods, networks, objectives, posteriors
from keras_vae.applications import Imputer, _base, impute
from keras_vae.models import NotMIWAE

ORACLE = LinearGaussian.random(x_size=3, z_size=2, noise=0.8)
SLOPE, BIAS = np.array([-1.5, 0.7, -2.0]), np.array([0.3, 1.0, -0.4])
X = np.array([[0.5, np.nan, 1.0], [np.nan, 0.2, -0.5], [0.1, -0.7, 0.4]], np.float32)
MASK = (~np.isnan(X)).astype(np.float32)
REAL = likelihoods.Mixed(
    blocks=[likelihoods.Block(likelihood=likelihoods.Normal(scale=0.8), indices=(0, 1, 2))]
)


def model():
    """The oracle with self-masking; its posterior is the prior."""
    encoder, decoder = networks.table(REAL, 2, hidden=(), has_missing=True)
    encoder.layers[-1].set_weights([np.zeros([6, 4]), np.zeros(4)])
    decoder.layers[-1].set_weights([ORACLE.W.T, ORACLE.b])
    missingness = networks.missingness("self-masking", REAL)
    missingness.layers[-1].set_weights([SLOPE, BIAS])
    return NotMIWAE(encoder, decoder, missingness, likelihood=REAL)


def by_quadrature(x, mask):
    """log p(x_o, m) and E[x_m | x_o, m] for a row with at most one value missing."""
    covariance = ORACLE.W @ ORACLE.W.T + ORACLE.noise**2 * np.eye(3)
    grid = np.linspace(-12, 12, 4001)
    rows = np.repeat(np.nan_to_num(x, nan=0.0)[np.newaxis].astype(float), len(grid), axis=0)
    (missing,) = np.nonzero(mask == 0)
    rows[:, missing] = grid[:, np.newaxis]
    centred = rows - ORACLE.b
    log_x = -0.5 * np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    log_x -= 0.5 * (np.linalg.slogdet(covariance)[1] + 3 * np.log(2 * np.pi))
    logits = rows * SLOPE + BIAS
    log_m = -np.logaddexp(0, np.where(mask == 1, -logits, logits)).sum(axis=1)
    if not len(missing):
        return log_x[0] + log_m[0], rows[0]
    density = np.exp(log_x + log_m) * (grid[1] - grid[0])
    return np.log(density.sum()), (density[:, np.newaxis] * rows).sum(axis=0) / density.sum()


def test_the_likelihood_of_values_and_of_what_is_missing():
    estimate = evaluation.log_likelihood(
        model(), {"x": X, "mask": MASK}, num_samples=40_000, seed=1, batch_size=3, progress=False
    )
    expected = [by_quadrature(x, mask)[0] for x, mask in zip(X, MASK, strict=True)]
    np.testing.assert_allclose(estimate.per_example, expected, atol=0.05)


def test_imputed_values_know_why_they_are_missing():
    filled = impute(model(), {"x": X, "mask": MASK}, num_samples=60_000, seed=2)
    expected = [by_quadrature(x, mask)[1] for x, mask in zip(X, MASK, strict=True)]
    np.testing.assert_allclose(filled, expected, atol=0.05)


def test_it_is_exported(tmp_path):
    """The export is compared with the live model, its score too; a difference raises."""
    parity = export.export(model(), tmp_path / "exported", formats=("saved_model",))
    assert "score" in str(parity)


def test_mechanisms():
    x = np.array([[-1.0, 0.0, 2.0]], np.float32)
    high, low = (
        networks.missingness(f"self-masking-{which}", REAL)(x) for which in ("high", "low")
    )
    np.testing.assert_allclose(high, -np.log(2.0) * x, rtol=1e-6)
    np.testing.assert_allclose(low, -np.asarray(high), rtol=1e-6)
    np.testing.assert_allclose(networks.missingness("self-masking", REAL)(x), 0.0 * x)
    assert len(networks.missingness("nonlinear", REAL).trainable_variables) == 4
    assert len(networks.missingness("linear", REAL).trainable_variables) == 2
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        networks.missingness("liner", REAL)
    scaled = likelihoods.Normal(data_mean=(5.0, 1.0), data_stddev=(2.0, 1.0))
    other = likelihoods.Mixed(
        blocks=[
            likelihoods.Block(likelihood=scaled, indices=(2, 0)),
            likelihoods.Block(likelihood=likelihoods.Normal(), indices=(1,)),
        ]
    )
    logits = networks.missingness("self-masking-high", other)(np.array([[1.0, 3.0, 9.0]]))
    np.testing.assert_allclose(logits, -np.log(2.0) * np.array([[0.0, 3.0, 2.0]]), rtol=1e-6)


def test_an_imputer_learns_that_high_values_are_missing(monkeypatch):
    monkeypatch.setattr(_base, "_STEPS", 10)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1)) @ np.array([[1.0, 2.0]]) + 0.3 * rng.normal(size=(400, 2))
    holes = np.where([False, True] & (x > 1.0), np.nan, x)
    options = {"epochs": 8, "hidden": (16,), "latent_dim": 1, "num_imputation_samples": 200}
    options |= {"num_samples": 5, "learning_rate": 0.02, "likelihood": "normal"}
    errors = {}
    for mechanism in (None, "self-masking-high"):
        imputer = Imputer(mechanism=mechanism, **options).fit(holes)
        filled = imputer.transform(holes)
        errors[mechanism] = np.sqrt(np.mean((filled - x)[np.isnan(holes)] ** 2))
    assert isinstance(imputer.model, NotMIWAE)
    assert errors["self-masking-high"] < 0.8 * errors[None]


def test_parts_that_do_not_fit_are_refused():
    missingness = networks.missingness("linear", REAL)
    student = likelihoods.Mixed(
        blocks=[likelihoods.Block(likelihood=likelihoods.StudentT(), indices=(0, 1, 2))]
    )
    with pytest.raises(ValueError, match="draws missing values"):
        NotMIWAE(*networks.table(student, 2, has_missing=True), missingness, likelihood=student)
    with pytest.raises(ValueError, match="input named 'mask'"):
        NotMIWAE(*networks.table(REAL, 2), missingness, likelihood=REAL)
    wrong = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="a logit for every value"):
        NotMIWAE(*networks.table(REAL, 2, has_missing=True), wrong, likelihood=REAL)
    with pytest.raises(ValueError, match="mask"):
        model().evaluate(np.nan_to_num(X))
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        Imputer(mechanism="liner", epochs=1).fit(X)


@pytest.mark.parametrize(
    ("objective", "parts"),
    [
        (objectives.BetaTC(num_examples=12), {}),
        (objectives.ELBO(free_bits=0.1), {}),
        (objectives.DIPVAE(), {}),
        (objectives.InfoVAE(), {}),
        (objectives.FactorVAE(networks.discriminator(2)), {}),
        (objectives.AdversarialAutoencoder(networks.discriminator(2)), {}),
        (objectives.RAE(), {"posterior": posteriors.Deterministic()}),
    ],
    ids=lambda part: type(part).__name__,
)
def test_objectives_of_z_itself_are_refused(objective, parts):
    missingness = networks.missingness("self-masking", REAL)
    nets = networks.table(REAL, 2, has_missing=True, **parts)
    with pytest.raises(ValueError, match=f"{type(objective).__name__} looks at z .*NotMIWAE.*IWAE"):
        NotMIWAE(*nets, missingness, likelihood=REAL, objective=objective, **parts)


@pytest.mark.parametrize(
    "objective",
    [objectives.ELBO(), objectives.Capacity(), objectives.StickingTheLanding(), objectives.DReG()],
    ids=lambda part: type(part).__name__,
)
def test_objectives_of_densities_are_taken(objective):
    missingness = networks.missingness("self-masking", REAL)
    nets = networks.table(REAL, 2, has_missing=True)
    taken = NotMIWAE(*nets, missingness, likelihood=REAL, objective=objective)
    taken.compile("sgd", jit_compile=False)
    batch = {"x": np.ones([4, 3], np.float32), "mask": np.array([[1.0, 0, 1]] * 4, np.float32)}
    assert np.isfinite(taken.train_on_batch(batch, return_dict=True)["loss"])


def test_a_missingness_that_couples_examples_is_refused_where_gradients_are_by_example():
    x = keras.Input((3,))
    logits = keras.layers.Dense(3)(keras.layers.BatchNormalization()(x))
    nets = networks.table(REAL, 2, has_missing=True)
    with pytest.raises(ValueError, match=r"DReG .*BatchNormalization .* IWAE"):
        NotMIWAE(*nets, keras.Model(x, logits), likelihood=REAL, objective=objectives.DReG())
    NotMIWAE(*nets, keras.Model(x, logits), likelihood=REAL, objective=objectives.IWAE())
