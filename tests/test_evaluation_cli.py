"""`keras-vae evaluate --all` and `compare`: on a small run, what they say, write and refuse."""

import json
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

from keras_vae import pictures
from keras_vae.applications import sampled_runs
from keras_vae.applications.sampled_runs import feature_space, run_quality, why_no_quality
from keras_vae.training import Recipe, Run, compare, train

FEW = ("--num-samples", 20, "--limit", 60)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on images of two classes, with labels, trained for one epoch."""
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = 120 * rng.random((600, 8, 8, 1))
    x[labels == 0, :4] += 120
    x[labels == 1, 4:] += 120
    np.savez(
        folder / "images.npz",
        x_train=x[:400].astype(np.uint8),
        y_train=labels[:400],
        x_test=x[400:].astype(np.uint8),
        y_test=labels[400:],
    )
    recipe = Recipe(
        data=str(folder / "images.npz"),
        protocol="dynamic",
        hidden=(8,),
        latent_dim=3,
        batch_size=40,
        epochs=1,
        jit_compile=False,
    )
    return train(recipe, folder / "a").path


def copied(run, path, **recipe):
    shutil.copytree(run, path)
    config = json.loads((path / "config.json").read_text())
    config["recipe"] |= recipe
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The run after `evaluate --all` with a little annealing, and what it printed."""
    from keras_vae_cli import main

    path = copied(run, tmp_path_factory.mktemp("whole") / "b")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        command = ["evaluate", path, "--all", *FEW, "--temperatures", 3]
        patch.setattr("keras_vae.training.evaluating._ANNEALED", 10)
        patch.setattr("keras_vae_cli.evaluating.say", lambda what: lines.append(str(what)))
        patch.setattr(sys, "argv", ["keras-vae", *map(str, command)])
        with pytest.raises(SystemExit) as exit:
            main()
        assert not exit.value.code
    return path, "\n".join(lines)


def test_everything_is_said(whole):
    path, out = whole
    report = json.loads((path / "evaluation" / "report.json").read_text())
    simple = json.loads((path / "evaluation.json").read_text())
    assert simple.items() <= report.items()
    assert report["protocol"] == "dynamic"
    assert f"sha256 {report['sha256'][:12]}" in out
    assert "protocol dynamic: log p(x) = " in out
    assert "k=20" in out
    assert "features of a classifier of 2 classes" in out
    assert "Not Inception-FID" in out
    assert set(report["samples"]) == {"generated", "real, train"}
    assert report["surgery"]["num_examples"] == 60
    assert report["annealed"]["temperatures"] == 3
    assert report["annealed"]["num_examples"] == 10
    assert len(report["collapse"]["worth_by_dimension"]) == 3
    markdown = (path / "evaluation" / "report.md").read_text()
    for words in ("| annealed, of these 10 |", "| rate |", "| Fréchet distance |"):
        assert words in markdown
    for name in ("reconstructions", "traversals", "dimensions", "latent_map_pca"):
        with Image.open(path / "evaluation" / f"{name}.png") as image:
            assert min(image.size) > 50
        assert f"({name}.png)" in markdown
    assert (path / "evaluation" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("posterior", "where"), [("power-spherical", "sphere"), ("relaxed-categorical", "simplex")]
)
def test_latents_that_do_not_move_one_by_one_are_not_traversed(
    run, tmp_path, cli, posterior, where
):
    config = json.loads((run / "config.json").read_text())
    options = {"posterior": posterior, "latent_dim": 4, "num_categories": 2, "prior": None}
    if posterior == "power-spherical":
        options["num_categories"] = 10
    recipe = Recipe.from_json(config["recipe"] | options)
    path = train(recipe, tmp_path / "a").path
    code, out, err = cli("evaluate", path, "--all", *FEW)
    assert code == 0, err
    assert f"Without traversals: z moves on the {where} only." in out
    assert not (path / "evaluation" / "traversals.png").exists()
    assert (path / "evaluation" / "reconstructions.png").exists()


def test_a_run_without_a_likelihood_gets_all_the_rest(run, tmp_path, cli):
    config = json.loads((run / "config.json").read_text())
    options = {"objective": "rae", "posterior": None, "prior": None}
    path = train(Recipe.from_json(config["recipe"] | options), tmp_path / "a").path
    (path / "evaluation").mkdir()
    (path / "evaluation" / "notes.txt").write_text("somebody's own")
    code, out, err = cli("evaluate", path, "--all", *FEW)
    assert code == 0, err
    assert (path / "evaluation" / "notes.txt").read_text() == "somebody's own"
    assert "no log p(x), since the posterior is a point" in out
    assert "Without log p(x) and surgery" in out
    assert "-log p(x)" not in out
    report = json.loads((path / "evaluation" / "report.json").read_text())
    assert (report["log_likelihood"], report["surgery"]) == (None, None)
    assert report["terms"]["distortion"] > 0
    assert set(report["samples"]) == {"generated", "real, train"}
    assert {each.name for each in (path / "evaluation").glob("*.png")} == {
        f"{name}.png" for name in ("reconstructions", "traversals", "dimensions", "latent_map_pca")
    }
    code, out, err = cli("evaluate", path, *FEW)
    assert code == 0, err
    assert "distortion" in out
    code, _, err = cli("compare", path)
    assert code == 1
    assert "no log p(x) to be compared by" in err


def test_features_of_another_run_are_taken(whole, run, tmp_path):
    """The same network: the same distances as where it was trained. Another shape is refused."""
    import keras

    path, _ = whole
    space = feature_space(Run(run), "test", path / "evaluation" / "features.keras")
    quality = run_quality(Run(run), "test", 60, space)["generated"]
    report = json.loads((path / "evaluation" / "report.json").read_text())
    expected = report["samples"]["generated"]
    assert quality.frechet_distance == pytest.approx(expected["frechet_distance"], rel=1e-3)
    assert space.sha256[:12] in expected["features"]
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="a Sequential from"):
        feature_space(Run(run), "test", tmp_path / "other.keras")
    (tmp_path / "x.npy").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"x\.npy cannot be loaded"):
        feature_space(Run(run), "test", tmp_path / "x.npy")


def test_runs_are_ranked_by_paired_differences(whole, run, cli, tmp_path):
    best, (worse, _) = copied(run, tmp_path / "best"), whole
    record = json.loads((worse / "evaluation.json").read_text())
    per_example = np.load(worse / "log_likelihood.npy") + np.linspace(0.0, 1.0, 60)
    np.save(best / "log_likelihood.npy", per_example)
    better = record | {"log_likelihood": per_example.mean()}
    (best / "evaluation.json").write_text(json.dumps(better))
    found = compare([worse, best])
    assert found.names == (str(best), str(worse))
    assert found.behind[1].mean == pytest.approx(0.5)
    assert found.behind[1].standard_error == pytest.approx(
        np.std(np.linspace(0, 1, 60), ddof=1) / 60**0.5
    )
    code, out, _ = cli("compare", worse, best)
    assert code == 0
    assert "0.50 ± 0.04" in out
    assert "k=20" in out
    assert record["sha256"][:12] in out
    assert "≤" not in out
    (best / "evaluation.json").write_text(json.dumps(better | {"is_exact": False}))
    code, out, _ = cli("compare", worse, best)
    assert code == 0
    assert f"≤ {-per_example.mean():.2f}" in out
    assert "≤: a bound" in out


def test_an_evaluation_is_of_the_model_that_it_was_made_with(run, cli, tmp_path):
    path = copied(run, tmp_path / "a")
    assert cli("evaluate", path, *FEW)[0] == 0
    assert cli("compare", path)[0] == 0
    opened = Run(path)
    opened.model.decoder.layers[-2].bias.assign_add([0.5] * 64)
    opened.save_model(opened.model)
    code, _, err = cli("compare", path)
    assert code == 1
    assert f"Run: keras-vae evaluate {path}" in err
    assert cli("evaluate", path, *FEW)[0] == 0
    assert cli("compare", path)[0] == 0


def relabelled(run, path, labels):
    """The run on the same images with other labels; without, where they are None."""
    arrays = dict(np.load(run.parent / "images.npz"))
    for name in ("y_train", "y_test"):
        del arrays[name]
        if labels is not None:
            arrays[name] = labels(name, len(arrays["x" + name[1:]]))
    np.savez(path.parent / f"{path.name}.npz", **arrays)
    return Run(copied(run, path, data=str(path.parent / f"{path.name}.npz")))


LABELS = {
    "one class, not 0": (lambda name, n: np.full(n, 3), "the number of classes is 1"),
    "no labels": (None, "no labels to train a classifier on"),
    "a class for every example": (lambda name, n: np.arange(n), "the number of classes is 3"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_no_classifier_is_trained_on(run, whole, tmp_path, name):
    labels, words = LABELS[name]
    changed = relabelled(run, tmp_path / "a", labels)
    assert words in why_no_quality(changed, "test", 60)
    features = whole[0] / "evaluation" / "features.keras"
    assert not why_no_quality(changed, "test", 60, features), "nothing is trained with features"
    space = feature_space(changed, "test", features)
    assert "generated" in run_quality(changed, "test", 60, space)


def test_a_class_that_training_has_not_counts_as_missed(run, tmp_path):
    """Half of the test examples are of it."""
    classes = {"y_train": 2, "y_test": 4}
    changed = relabelled(run, tmp_path / "a", lambda name, n: np.arange(n) % classes[name])
    assert not why_no_quality(changed, "test", 60)
    assert feature_space(changed, "test").accuracy <= 0.5


def test_the_classifier_is_measured_on_what_it_has_not_seen(run, monkeypatch):
    seen = []
    monkeypatch.setattr(sampled_runs, "train_features", lambda *given, seed: seen.append(given))
    feature_space(Run(run), "train")
    (x, _, (held_out, _)) = seen[0]
    assert (len(x), len(held_out)) == (360, 200)
    np.testing.assert_array_equal(held_out, Run(run).data.examples("test"))


def test_a_split_that_is_too_small_to_measure_is_left_out(run, whole, tmp_path):
    arrays = dict(np.load(run.parent / "images.npz"))
    arrays |= {"x_test": arrays["x_test"][:5], "y_test": arrays["y_test"][:5]}
    arrays |= {"x_val": arrays["x_test"], "y_val": arrays["y_test"]}
    np.savez(tmp_path / "few.npz", **arrays)
    changed = Run(copied(run, tmp_path / "a", data=str(tmp_path / "few.npz")))
    changed.data = changed.recipe.load_data()  # which the model was not trained on
    space = feature_space(changed, "train", whole[0] / "evaluation" / "features.keras")
    assert set(run_quality(changed, "train", 60, space)) == {"generated"}


def test_samples_that_cannot_be_measured_keep_nothing_else_back(run, cli, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("a class of its own")

    monkeypatch.setattr("keras_vae.applications.whole_evaluation.feature_space", fails)
    path = copied(run, tmp_path / "a")
    code, out, err = cli("evaluate", path, "--all", *FEW)
    assert code == 0, err
    assert "Without the quality of samples: a class of its own" in out
    assert json.loads((path / "evaluation" / "report.json").read_text())["samples"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "static"}, "protocol dynamic and static"),
        ({"num_samples": 5000}, "num_samples 20 and 5000"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"log_likelihood": -1.0}, "does not belong"),
        ({"bits_per_dim": None, "split": None}, "split test and None"),
        ({"measure": "density"}, "measure probability and density"),
        ({"model_sha256": "0" * 64}, "was trained further"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused(whole, cli, tmp_path, change, message):
    path, _ = whole
    other = copied(path, tmp_path / "c")
    record = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps(record | change))
    code, _, err = cli("compare", path, other)
    assert code == 1
    assert message in err


def test_runs_that_were_not_evaluated_and_options_that_need_others_are_refused(cli, run):
    code, _, err = cli("compare", run)
    assert code == 1
    assert f"Run: keras-vae evaluate {run}" in err
    assert cli("evaluate", run, "--features", run / "config.json")[0] == 2
    code, _, err = cli("evaluate", run, "--all", "--limit", 1)
    assert code == 1
    assert "at least 2 examples" in err


def test_a_map_by_umap_where_it_is_installed(monkeypatch, tmp_path):
    """Against a stand-in for the package, whose projection is the first two coordinates."""

    class UMAP:
        def __init__(self, random_state, n_jobs):
            assert random_state == 0

        def fit_transform(self, z):
            return z[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    z = np.random.default_rng(0).normal(size=(20, 3))
    pictures.latent_map(tmp_path / "map.png", z, projection="umap")
    assert (tmp_path / "map.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="Did you mean 'umap'"):
        pictures.latent_map(tmp_path / "map.png", z, projection="u-map")
