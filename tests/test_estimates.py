"""What estimates say of how they were made, and which of them can be compared."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_vae import VAE, aggregate, evaluation, export, likelihoods, networks
from keras_vae.evaluation.estimate import log_mean_variance
from keras_vae.models import NotMIWAE

oracle = LinearGaussian.random()
X = oracle.sample(25)
MODEL = oracle.vae()


def estimate(model=None, x=X, num_samples=50):
    return evaluation.log_likelihood(model or oracle.vae(), x, num_samples, progress=False)


def test_an_estimate_knows_its_examples_in_whatever_form_they_came():
    found = estimate()
    assert found.sha256 == hashlib.sha256(X.tobytes()).hexdigest()
    assert found.sha256[:12] in str(found)
    assert "k=50" in str(found)
    assert estimate(x=X.astype(np.float64)).sha256 == found.sha256
    assert estimate(x=tf.data.Dataset.from_tensor_slices(X).batch(7)).sha256 == found.sha256
    assert estimate(x=X[::-1]).sha256 != found.sha256
    assert estimate(x={"x": X}).sha256 == found.sha256
    assert "nan" not in str(estimate(x=X[:1], num_samples=1))


MEASURES = {
    "log_likelihood": lambda data: (
        evaluation.log_likelihood(MODEL, data, 3, progress=False).per_example
    ),
    "bound": lambda data: evaluation.bound(MODEL, data).negative_elbo,
    "latent_use": lambda data: evaluation.latent_use(MODEL, data).variance,
    "surgery": lambda data: evaluation.surgery(MODEL, data).rate,
    "collapse_report": lambda data: evaluation.collapse_report(MODEL, data).worth,
    "fit_mixture": lambda data: aggregate.fit_mixture(MODEL, data, 1).sample(3).numpy(),
}


@pytest.mark.parametrize("name", MEASURES)
def test_examples_are_arrays_or_what_becomes_one(name):
    measure = MEASURES[name]
    np.testing.assert_array_equal(measure(X.tolist()), measure(X))
    if name not in ("log_likelihood",):
        with pytest.raises(TypeError, match=r"all at once\. Received batches of them: "):
            measure(tf.data.Dataset.from_tensors(X))
    for data in (None, "test", (X, X)):
        with pytest.raises(
            TypeError, match=f"Expected examples as an array.*{type(data).__name__}"
        ):
            measure(data)


def test_one_sample_says_nothing_of_its_error():
    assert np.isnan(evaluation.log_likelihood(MODEL, X, 1, progress=False).monte_carlo_error)
    assert evaluation.log_likelihood(MODEL, X, 2, progress=False).monte_carlo_error > 0.0


def test_entries_of_a_dict_count_whatever_the_batches():
    from keras_vae.evaluation._batches import Digest

    def digest(mask, rows):
        found = Digest()
        for start in range(0, len(X), rows):
            found.update({"x": X[start : start + rows], "mask": mask[start : start + rows]})
        return found.hexdigest()

    mask = np.ones_like(X)
    assert digest(mask, 25) == digest(mask, 4)
    assert digest(mask, 25) != digest(1 - mask, 25)


def test_a_difference_is_paired():
    """Both estimates vary by nats over examples, their difference hardly: it is the known gap."""
    better, worse = estimate(num_samples=2000), estimate(oracle.vae(shift=0.1), num_samples=2000)
    found = evaluation.difference(better, worse)
    apart = better.per_example - worse.per_example
    assert found.mean == pytest.approx(apart.mean())
    assert found.standard_error == pytest.approx(apart.std(ddof=1) / 5)
    assert found.standard_error < better.standard_error / 20


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"num_samples": 51}, "k 50 and 51"),
        ({"x": X[:24]}, "sha256"),
        ({"x": X + 0.001}, "sha256"),
    ],
)
def test_numbers_that_cannot_be_compared_are_not(other, message):
    with pytest.raises(ValueError, match=message):
        evaluation.difference(estimate(), estimate(**other))


@pytest.mark.parametrize(
    "measure",
    [
        lambda folder: evaluation.log_likelihood(folder, X, 3),
        lambda folder: evaluation.bound(folder, X),
        lambda folder: evaluation.latent_use(folder, X),
        lambda folder: export.export(folder, "exported"),
    ],
)
def test_a_folder_is_no_model(measure):
    with pytest.raises(TypeError, match=r"such as `load_model` gives .* Received: 'runs/a'"):
        measure("runs/a")


def test_a_probability_and_a_density_are_not_compared():
    """The same numbers in the same data set, which the SHA-256 cannot tell apart."""
    x = (np.random.default_rng(0).integers(0, 256, (8, 6)) / 255.0).astype(np.float32)

    def of(likelihood):
        vae = VAE(*networks.mlp(6, 2, hidden=(4,), likelihood=likelihood), likelihood=likelihood)
        return estimate(vae, x, 3)

    mass, density = of(likelihoods.DiscretizedLogistic()), of(likelihoods.Normal())
    assert (mass.measure, density.measure) == ("probability", "density")
    assert mass.sha256 == density.sha256
    with pytest.raises(ValueError, match="measure probability and density"):
        evaluation.difference(mass, density)
    assert np.isfinite(evaluation.difference(density, of(likelihoods.Laplace())).mean)
    annealed = evaluation.annealed_log_likelihood(MODEL, X[:2], 2, num_chains=2, progress=False)
    assert annealed.measure == "density"
    assert "density" in str(annealed)


def test_what_is_missing_counts_in_another_measure():
    blocks = [
        likelihoods.Block(likelihood=likelihoods.Normal(), indices=(0, 2)),
        likelihoods.Block(likelihood=likelihoods.Bernoulli(), indices=(1,)),
    ]
    mixed = likelihoods.Mixed(blocks=blocks)
    assert mixed.measure == "density of column 0, column 2; probability of column 1"
    count = likelihoods.ZeroInflated(likelihood=likelihoods.Poisson())
    counts = [likelihoods.Block(likelihood=count, indices=(0,)), blocks[1]]
    assert likelihoods.Mixed(blocks=counts).measure == "probability"
    real = likelihoods.Mixed(
        blocks=[likelihoods.Block(likelihood=likelihoods.Normal(), indices=(0, 1, 2))]
    )
    nets = networks.table(real, 2, has_missing=True)
    both = NotMIWAE(*nets, networks.missingness("self-masking", real), likelihood=real)
    alone = VAE(*nets, likelihood=real)
    data = {"x": np.zeros([4, 3], np.float32), "mask": np.ones([4, 3], np.float32)}
    with pytest.raises(ValueError, match=r"measure density, with .* missing and density"):
        evaluation.difference(estimate(both, data, 3), estimate(alone, data, 3))


@pytest.mark.parametrize("k", [2, 5, 1000])
def test_the_variance_of_a_log_mean_is_the_unbiased_one(k):
    w = np.exp(0.3 * np.random.default_rng(k).normal(size=(k, 4)))
    expected = w.var(axis=0, ddof=1) / k / w.mean(axis=0) ** 2
    found = log_mean_variance(np.log(w.sum(axis=0)), np.log((w**2).sum(axis=0)), k)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
