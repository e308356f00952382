"""Priors fitted to a finished run: the new folder, what it gives, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from keras_vae import aggregate, training
from keras_vae.evaluation import bound
from keras_vae.objectives import ELBO, RAE
from keras_vae.training import Recipe, Run, fit_prior

RECIPE = Recipe(
    protocol="dynamic",
    hidden=(12,),
    latent_dim=3,
    epochs=1,
    batch_size=24,
    free_bits=0.1,  # which no fitted prior goes with
    jit_compile=False,
)


def trained(images, path, **options):
    recipe = dataclasses.replace(RECIPE, data=str(images), **options)
    return training.train(recipe, path, console=Console(quiet=True))


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    return trained(images, tmp_path_factory.mktemp("runs") / "a")


@pytest.mark.parametrize("kind", training.FITS)
def test_a_fitted_prior_takes_the_place_of_the_trained_one(run, cli, tmp_path, monkeypatch, kind):
    fit = {
        "mixture": lambda: aggregate.fit_mixture(run.model, x, 2, seed=5),
        "flow": lambda: aggregate.fit_flow(run.model, x, seed=5, epochs=2),
        "two-stage": lambda: aggregate.fit_two_stage(run.model, x, seed=5, epochs=2),
    }[kind]
    x = run.data.examples("train", 100)
    expected = run.model.replace(prior=fit(), objective=ELBO())
    if kind == "mixture":
        options = ("--num-components", 2)
    else:
        options, original = (), training.FITS[kind]
        monkeypatch.setitem(
            training.FITS, kind, lambda *given, **o: original(*given, epochs=2, **o)
        )
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    words = ("fit-prior", run.path, "--prior", kind, *options, "--limit", 100, "--seed", 5)
    code, out, err = cli(*words, "--output", tmp_path / "b")
    assert code == 0, err
    assert f"report: {tmp_path / 'b' / 'report.md'}" in out
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    made = Run(tmp_path / "b")
    np.testing.assert_array_equal(made.model.generate(9, seed=3), expected.generate(9, seed=3))
    assert not np.array_equal(made.model.generate(9, seed=3), run.model.generate(9, seed=3))
    names = {path.name for path in made.path.iterdir()}
    pictures = {"samples.png", "samples_before.png"}
    assert names == {"config.json", "model.keras", "report.md", *pictures}
    seen = run.data.examples("validation")
    report = (made.path / "report.md").read_text()
    for model in (run.model, expected):
        assert f"| {bound(model, seen).negative_elbo.mean():.2f} |" in report
    assert ("upper bounds" in report) == (kind == "two-stage")


@pytest.fixture(scope="module")
def fitted(run, tmp_path_factory):
    return fit_prior(run, tmp_path_factory.mktemp("fitted") / "b", num_components=2)


def test_the_new_run_goes_where_runs_go(fitted, cli, tmp_path):
    for words, said in (
        (("info", fitted.path), "MultivariateNormalMixture"),
        (("generate", fitted.path, "--output", tmp_path / "a.png"), "64 samples"),
        (("evaluate", fitted.path, "--num-samples", 5, "--limit", 20), "log p(x)"),
        (("export", fitted.path, "--output", tmp_path / "exported"), "model.tflite"),
    ):
        code, out, err = cli(*words)
        assert code == 0, err
        assert said in out


def test_the_new_run_is_not_trained_on(fitted, run, cli):
    code, _, err = cli("train", "--resume", "--output", fitted.path)
    assert code == 1
    assert "fitted after its training" in err
    assert str(run.path) in err


def test_a_model_without_a_density_gets_samples(images, tmp_path):
    run = trained(images, tmp_path / "a", objective="rae", free_bits=0.0)
    made = fit_prior(run, tmp_path / "b", num_components=2)
    assert isinstance(made.model.objective, RAE)
    assert "-ELBO" not in (made.path / "report.md").read_text()
    fit = aggregate.fit_mixture(run.model, run.data.examples("train"), 2)
    expected = run.model.with_prior(fit).generate(9)
    np.testing.assert_array_equal(made.model.generate(9), expected)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--prior", "mixtures"), 2, "Did you mean 'mixture'"),
        (
            ("--prior", "flow", "--num-components", 3),
            1,
            "belongs to the prior mixture, not to flow",
        ),
        (("--num-components", 200), 1, "200 components with full covariances in 3 dimensions need"),
        (("--num-components", 0), 2, "num-components"),
        (("--limit", 0), 2, "limit"),
        (("--seed", -1), 2, "seed"),
    ],
)
def test_what_cannot_be_fitted_is_refused(run, cli, tmp_path, words, code, said):
    got, _, err = cli("fit-prior", run.path, "--output", tmp_path / "b", *words)
    assert got == code
    assert said in err
    assert not (tmp_path / "b/config.json").exists()


def test_a_run_is_not_overwritten_by_its_own_fit(run, fitted, cli):
    with pytest.raises(ValueError, match="own folder"):
        fit_prior(run, run.path, overwrite=True)
    code, _, err = cli("fit-prior", run.path, "--output", fitted.path)
    assert code == 1
    assert "--overwrite" in err
    config = json.loads((fitted.path / "config.json").read_text())
    assert config["fitted_prior"]["of"] == str(run.path)
    again = fit_prior(run, fitted.path, num_components=1, overwrite=True)
    assert again.config["fitted_prior"]["num_components"] == 1
