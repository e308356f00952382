"""The search for the size of the latent space: its rules on numbers, its whole road on small data."""

import dataclasses
import shlex
import shutil
from pathlib import Path

import keras_tuner
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from oracles import LinearGaussian
from rich.console import Console
from typer.testing import CliRunner

import keras_vae_cli
from keras_vae import training
from keras_vae.applications import search
from keras_vae.applications.search import measures, picture, tuner
from keras_vae.applications.search.result import train_command
from keras_vae.evaluation import bound
from keras_vae.training import Recipe, Run

pytestmark = [
    # KerasTuner 1.4 names the thread it runs in by methods that Python deprecates.
    pytest.mark.filterwarnings(r"ignore:(currentThread|getName)\(\) is deprecated"),
]
oracle = LinearGaussian.random()
rng = np.random.default_rng(0)


def cli(*words):
    return CliRunner().invoke(keras_vae_cli.app, ["search", *map(str, words)])


# The bound of every example.


def test_the_bound_with_the_exact_posterior_is_the_likelihood_of_every_example():
    x = oracle.sample(510)  # more than one pass
    sides = bound(oracle.vae(), x, num_samples=400)
    np.testing.assert_allclose(-sides.negative_elbo, oracle.log_prob(x), atol=0.4)
    assert -sides.negative_elbo.mean() == pytest.approx(oracle.log_prob(x).mean(), abs=0.01)
    variance = 1 / (1 + np.sum(oracle.W**2, axis=0) / oracle.noise**2)
    mean = (x - oracle.b) @ oracle.W * variance / oracle.noise**2
    rate = 0.5 * np.sum(variance + mean**2 - 1 - np.log(variance), axis=1)
    np.testing.assert_allclose(sides.rate, rate, rtol=1e-4)


def test_the_bound_is_a_function_of_its_seed():
    x, vae = oracle.sample(10), oracle.vae()
    once, again, other = (bound(vae, x, 2, seed=seed).distortion for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert np.all(once != other)


# The rules.


def test_a_difference_is_that_of_the_paired_t_test():
    hardness = rng.normal(100, 20, size=50)
    a, b = hardness + rng.normal(size=50), hardness + rng.normal(0.4, size=50)
    mean, error = search.difference(a[np.newaxis], b[np.newaxis])
    assert mean == pytest.approx(a.mean() - b.mean())
    assert mean / error == pytest.approx(scipy.stats.ttest_rel(a, b).statistic)


def test_repeats_add_the_error_over_seeds():
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])  # differs by seed only: 0 over examples
    mean, error = search.difference(a, np.array([[0.0, 1.0, 2.0]] * 2))
    assert mean == 2.5
    assert error == pytest.approx(np.std([1, 4], ddof=1) / np.sqrt(2))


@pytest.mark.parametrize(
    ("history", "finished", "first", "expected"),
    [
        ([9.0, 8.0], [[7, 5], [7, 6], [8, 7]], 1, True),
        ([9.0, 6.9], [[7, 5], [7, 6], [8, 7]], 1, False),  # within the margin of the median, 6
        ([9.0, 8.0], [[7, 5], [7, 6], [8, 7]], 3, False),  # too early
        ([9.0, 8.0], [[7, 5], [7, 6]], 1, False),  # too few to tell
        ([9.0], [[9, 1], [8.5, 1], [8.2, 1]], 1, False),  # at the same epoch, not at the end
        ([6.0, 20.0], [[7, 5], [7, 6], [8, 7]], 1, False),  # its best so far counts
        ([9.0, 9.0, 8.0], [[6], [6], [9, 9, 5]], 1, True),  # others that ended before that epoch
    ],
)
def test_the_median_stopping_rule(history, finished, first, expected):
    assert search.falls_behind(history, finished, margin=1.0, first=first) is expected


def test_a_linear_probe_tells_what_a_line_can_and_nothing_else():
    z = rng.normal(size=(400, 3)) * [1, 1e-3, 50]
    side, noise = np.where(z[:, 1] > 0, "yes", "no"), rng.integers(0, 2, 400)
    assert search.linear_probe(z[:200], side[:200], z[200:], side[200:]) > 0.95
    assert search.linear_probe(z[:200], noise[:200], z[200:], noise[200:]) < 0.65


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, None),
        (np.array([0.5, 1.0]), None),
        (np.array([np.nan, 1.0]), None),
        (np.array([[0, 1]]), None),
        (np.array([2, 1]), ["2", "1"]),
        (np.array(["cat", "dog"]), ["cat", "dog"]),
    ],
)
def test_labels_that_a_probe_is_for(labels, expected):
    classes = measures._classes(labels)
    assert classes is None if expected is None else list(classes) == expected


# The plan.


def test_a_plan_is_every_combination_of_large_sizes_first():
    plan = search.Plan(
        recipe=Recipe(seed=5, hidden=(9,)),
        latent_dims=(2, 16),
        networks=("mlp", "conv"),
        betas=(1, 4),
        repeats=2,
    )
    recipes = [plan.recipe_of(values) for values in plan.grid]
    assert len({recipe.seed for recipe in recipes}) == 2
    assert len(set(recipes)) == len(recipes) == 16
    assert {recipe.hidden for recipe in recipes} == {(9,)}
    assert [recipe.latent_dim for recipe in recipes] == [16] * 8 + [2] * 8
    assert (recipes[1].seed, recipes[0].seed) == (6, 5)
    assert len({plan.name_of(values) for values in plan.grid}) == 16
    assert search.Plan.from_json(plan.to_json()) == plan


def test_a_plan_of_layers():
    plan = search.Plan(latent_dims=(2,), hidden=(None, (512, 256)))
    assert [plan.recipe_of(values).hidden for values in plan.grid] == [None, (512, 256)]
    assert plan.name_of(plan.grid[1]) == "latent_dim=2,hidden=512x256"
    assert search.Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"latent_dims": ()}, "at least one value in latent_dims"),
        ({"latent_dims": (2, 4, 2)}, r"each of them once. Received: \[2, 4, 2\]"),
        ({"latent_dims": (0, 2)}, "latent_dims"),
        ({"latent_dims": (2.5, 4.0)}, "latent_dims"),
        ({"networks": ("mpl",)}, "Did you mean 'mlp'"),
        ({"betas": (-1.0,)}, "beta"),
        ({"repeats": 0}, "repeats"),
        ({"limit": 1}, "limit"),
        ({"recipe": Recipe(objective="iwae")}, "evidence lower bound"),
    ],
)
def test_plans_that_are_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        search.Plan(**plan)


# The recommendation.


def trial(latent_dim, bounds, *, pruned=False, diverged=False, network="mlp", accuracy=0.5):
    reached = search.Measures(
        negative_elbo=np.asarray(bounds, float),
        rate=3.0,
        active_units=latent_dim,
        accuracy=accuracy,
        history=[float(np.mean(bounds))],
        is_pruned=pruned,
    )
    return search.Trial(
        recipe=Recipe(latent_dim=latent_dim, network=network),
        runs=(Path(f"runs/{latent_dim}"),),
        measures=(None if diverged else reached,),
    )


def result(*trials, **plan):
    sizes = tuple(dict.fromkeys(t.latent_dim for t in trials))
    return search.SearchResult(Path("sizes"), search.Plan(latent_dims=sizes, **plan), trials)


HARD = np.array([100.0, 50.0, 75.0, 25.0])  # of very different examples
WITHIN = HARD + np.array([1.0, -0.5, 0.5, -0.2])  # behind HARD by 0.2, and the paired error is 0.34
BEYOND = HARD + np.array([0.5, -0.1, 0.3, 0.1])  # behind by 0.2 too, and the error is 0.13


def test_the_smallest_size_within_one_paired_standard_error_is_recommended():
    found = result(trial(16, HARD), trial(8, WITHIN), trial(4, BEYOND), trial(2, HARD + 9))
    assert found.best.latent_dim == 16
    assert found.recommended.latent_dim == 8
    nats, error = found.behind(found.recommended)
    assert (nats, error) == pytest.approx((0.2, scipy.stats.sem(WITHIN - HARD)))
    assert f"16, is 62.50: 0.20 ± {error:.2f} nats behind" in found.reason
    table = found.table
    assert list(table["latent_dim"]) == [2, 4, 8, 16]
    assert list(table["recommended"]) == [False, False, True, False]
    np.testing.assert_allclose(table["behind"], [9, 0.2, 0.2, 0])
    np.testing.assert_allclose(table["negative_elbo"] - table["rate"], table["distortion"])


def test_where_no_smaller_size_is_within_the_best_is_recommended():
    found = result(trial(16, HARD), trial(4, BEYOND))
    assert found.recommended is found.best
    assert "4 is 0.20 ± 0.13 nats behind, over the same 4 validation examples" in found.reason
    assert any("largest size" in remark for remark in found.remarks)


def test_what_was_stopped_early_or_diverged_is_shown_and_never_recommended(tmp_path):
    found = result(trial(8, HARD), trial(4, HARD - 5, pruned=True), trial(2, HARD, diverged=True))
    assert found.recommended.latent_dim == 8
    assert list(found.table["status"]) == ["diverged", "pruned", "complete"]
    assert np.isnan(found.table["negative_elbo"][0])
    assert [row[-1] for row in found.cells()[1]] == ["diverged", "stopped", "chosen"]
    picture.plot(found, tmp_path / "search.png")
    with pytest.raises(RuntimeError, match="diverged"):
        result(trial(2, HARD, diverged=True))


def test_of_settings_with_the_recommended_size_the_best_is_taken():
    found = result(
        trial(16, HARD), trial(8, WITHIN), trial(8, WITHIN - 0.1, network="conv"), repeats=2
    )
    assert found.recommended.recipe.network == "conv"
    assert "With conv, beta 1." in found.reason
    assert [row[0] for row in found.cells()[1]] == ["conv, beta 1", "mlp, beta 1", "mlp, beta 1"]


def test_remarks():
    smallest = result(trial(8, HARD), trial(2, HARD), repeats=2)
    assert smallest.remarks == [
        "This is the smallest size that was searched: a smaller one may do."
    ]
    unlabelled = result(trial(8, HARD, accuracy=np.nan), repeats=2)
    assert any("no linear probe" in remark for remark in unlabelled.remarks)
    assert any("--repeats 3" in remark for remark in result(trial(8, HARD)).remarks)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(latent_dim=3),
        Recipe(
            data="/a b/c.npy",
            stream=True,
            hidden=(9, 8),
            latent_dim=20,
            beta=0.5,
            warm_up=2,
            patience=3,
            jit_compile=False,
            learning_rate=0.01,
            column_types=(("a code", "categorical"), ("age", "count")),
            condition="label",
            prior="conditional-normal",
        ),
    ],
)
def test_the_command_that_is_printed_trains_that_recipe(recipe, monkeypatch):
    trained = []
    monkeypatch.setattr(training, "train", lambda recipe, *_, **__: trained.append(recipe))
    words = shlex.split(f"{train_command(recipe)} --output x")
    assert CliRunner().invoke(keras_vae_cli.app, words[1:]).exit_code == 0
    assert trained == [recipe]


# The whole road.


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """300 images of 6 x 6 in two classes, half of each dark."""
    path = tmp_path_factory.mktemp("data") / "labelled.npz"
    bright = rng.random(300) < 0.5
    x = (255 * rng.random((300, 6, 6)) * bright[:, None, None]).astype(np.uint8)
    np.savez(path, x_train=x[:200], y_train=bright[:200], x_val=x[200:], y_val=bright[200:])
    return path


@pytest.fixture(autouse=True)
def second_epoch(monkeypatch):
    """Runs are stopped after 2 epochs, but for the first, so that both kinds are small."""

    def falls_behind(history, finished, margin, first):
        assert margin > 0
        return len(history) == 2 and len(finished) > 0

    monkeypatch.setattr(tuner, "falls_behind", falls_behind)


def words(data, output):
    return (
        "--data", data, "--latent-dims", "1,2", "--hidden", "6", "--epochs", 3, "--batch-size", 25,
        "--protocol", "dynamic", "--no-jit", "--limit", 80, "--output", output,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(labelled, tmp_path_factory):
    """A search by the command, that nothing interrupted: its folder, and what it printed."""
    output = tmp_path_factory.mktemp("whole") / "sizes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tuner,
            "falls_behind",
            lambda history, finished, **_: bool(finished) and len(history) == 2,
        )
        ended = cli(*words(labelled, output))
    assert ended.exit_code == 0, ended.output
    return output, ended.output


def test_the_command_leaves_a_table_a_picture_a_report_and_runs(whole):
    output, printed = whole
    table = pd.read_csv(output / "trials.csv", keep_default_na=False)
    assert list(table["latent_dim"]) == [1, 2]
    assert list(table["status"]) == ["pruned", "complete"]
    assert list(table["epochs"]) == [2, 3]
    assert list(table["recommended"]) == [False, True]
    assert table["accuracy"][1] > 0.8  # dark and bright
    assert "2 latent dimensions" in printed
    assert "stopped early" in printed
    report = (output / "report.md").read_text()
    assert report.splitlines()[2].startswith("**2 latent dimensions")
    assert (output / "search.png").stat().st_size > 5000
    run = Run(output / "runs" / "latent_dim=2")
    assert run.model.latent_dim == 2
    x = run.data.examples("validation", 80)
    assert table["negative_elbo"][1] == pytest.approx(bound(run.model, x).negative_elbo.mean())
    history = run.history()["val_negative_elbo"]
    assert table["negative_elbo"][1] == pytest.approx(min(history), abs=1.0)
    trials = sorted((output / "keras_tuner").glob("trial_*/trial.json"))
    scores = [keras_tuner.engine.trial.Trial.load(str(path)).score for path in trials]
    assert scores == pytest.approx(list(table["negative_elbo"][::-1]))


def test_interrupted_anywhere_and_resumed_it_ends_with_the_same_table(
    labelled, whole, tmp_path, monkeypatch
):
    output = tmp_path / "sizes"
    quiet = Console(quiet=True)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # in the second epoch of the first run
        patch.setattr(tuner._Watch, "on_epoch_end", lambda _, epoch, logs: epoch and interrupted())
        ended = cli(*words(labelled, output))
        assert ended.exit_code == 130
        assert f"keras-vae search --resume --output {output}" in ended.output.replace("\n", "")
    assert len(Run(output / "runs" / "latent_dim=2").history()["epoch"]) == 2
    measured = []
    with monkeypatch.context() as patch:  # the second run has ended, and is not measured yet

        def second(*arguments, **options):
            measured.append(arguments)
            return interrupted() if len(measured) == 2 else measures.measure(*arguments, **options)

        patch.setattr(tuner, "measure", second)
        with pytest.raises(KeyboardInterrupt):
            search.resume(output, console=quiet)
    search.resume(output, console=quiet)
    expected, found = (pd.read_csv(path / "trials.csv") for path in (whole[0], output))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)


def test_a_complete_search_writes_its_report_again(whole, tmp_path):
    output = tmp_path / "sizes"
    shutil.copytree(whole[0], output)
    (output / "report.md").unlink()
    found = search.resume(output, console=Console(quiet=True))
    assert found.recommended.latent_dim == 2
    assert (output / "report.md").exists()
    table = (output / "trials.csv").read_bytes()
    assert table == (whole[0] / "trials.csv").read_bytes()
    (output / "runs" / "latent_dim=2" / "search.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"search.npz is damaged.*Take it away"):
        search.resume(output, console=Console(quiet=True))


def test_a_run_that_diverges_is_a_row_and_any_other_error_ends_the_search(
    whole, tmp_path, monkeypatch
):
    output = tmp_path / "sizes"
    shutil.copytree(whole[0], output)
    (output / "runs" / "latent_dim=1" / "search.npz").unlink()

    def diverging(folder, **_):
        raise training.TrainingDiverged(Run(folder), 1, "the loss")

    monkeypatch.setattr(tuner, "resume", diverging)
    table = search.resume(output, console=Console(quiet=True)).table
    assert list(table["status"]) == ["diverged", "complete"]

    def broken(folder, **_):
        raise MemoryError("too large")

    monkeypatch.setattr(tuner, "resume", broken)
    with pytest.raises(MemoryError, match="too large"):
        search.resume(output, console=Console(quiet=True))


def test_other_data_than_it_began_with_are_refused(whole, labelled, tmp_path):
    output = tmp_path / "sizes"
    shutil.copytree(whole[0], output)
    with np.load(labelled) as arrays:
        other = {name: array[::-1] for name, array in arrays.items()}
    path = tmp_path / "other.npz"
    np.savez(path, **other)
    config = (output / "config.json").read_text().replace(str(labelled), str(path))
    (output / "config.json").write_text(config)
    with pytest.raises(ValueError, match=r"not those that .* began with"):
        search.resume(output)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--latent-dims", "0,2"), 2, "takes positive numbers"),
        (("--latent-dims", ""), 2, "takes positive numbers"),
        (("--latent-dims", "2,2"), 2, "each of them once"),
        (("--betas", "one"), 2, "takes numbers with commas"),
        (("--betas", "-1"), 2, "beta"),
        (("--network", "mpl"), 2, "Did you mean 'mlp'"),
        (("--epochs", "0"), 2, "--epochs"),
        (("--resume", "--epochs", "3"), 2, "leave out --epochs"),
        (("--resume",), 1, "is not a search of keras-vae"),
        (("--data", "nowhere.npy"), 1, "nowhere.npy"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(words, code, message, tmp_path):
    ended = cli(*words, "--output", tmp_path / "sizes")
    assert ended.exit_code == code
    told = " ".join(ended.output.replace("│", " ").split()) + str(ended.exception)
    assert message in told
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_data_and_folders_of_others_are_refused(whole, tmp_path):
    table = tmp_path / "table.npy"
    np.save(table, rng.normal(size=(300, 4)))
    plan = search.Plan(recipe=Recipe(data=str(table)), latent_dims=(1,), networks=("mlp", "conv"))
    with pytest.raises(ValueError, match=r"conv|image"):
        search.search(plan, tmp_path / "sizes")
    assert not (tmp_path / "sizes").exists()
    mlp = dataclasses.replace(plan, networks=("mlp",))
    with pytest.raises(FileExistsError, match="or a search with --resume"):
        search.search(mlp, whole[0])
    with pytest.raises(FileExistsError, match="another result of keras-vae: run"):
        search.search(mlp, whole[0] / "runs" / "latent_dim=2", overwrite=True)
    tiny = tmp_path / "tiny.npz"
    np.savez(tiny, x_train=np.eye(30), x_val=np.eye(30)[:1])
    with pytest.raises(ValueError, match="validation examples"):
        search.search(dataclasses.replace(mlp, recipe=Recipe(data=str(tiny), batch_size=5)), "x")
