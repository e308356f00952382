"""Runs: what the folder holds, which epoch is kept, resuming to the bit, divergence, Ctrl-C."""

import contextlib
import csv
import dataclasses
import errno
import io
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from keras_vae import data, objectives, training
from keras_vae.data.splits import steps_per_execution
from keras_vae.training import Recipe, Run, TrainingDiverged, callbacks, logs
from keras_vae.training.recipe import adam

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def recipe(images):
    return Recipe(
        data=str(images),
        protocol="dynamic",
        hidden=(16,),
        latent_dim=3,
        epochs=4,
        batch_size=20,
        jit_compile=False,
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """An uninterrupted run of four epochs."""
    return training.train(recipe, tmp_path_factory.mktemp("runs") / "whole", console=QUIET)


def weights(run):
    model = keras.saving.load_model(run.model_path)
    return [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_same_run(left, right):
    for a, b in zip(weights(left), weights(right), strict=True):
        np.testing.assert_array_equal(a, b)
    assert left.history() == right.history()
    newest = [sorted((run.path / "state").glob("*.npz"))[-1] for run in (left, right)]
    assert newest[0].name == newest[1].name
    with np.load(newest[0]) as a, np.load(newest[1]) as b:
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_run_folder_holds_what_it_promises(run, recipe):
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json",
        "model.keras",
        "history.csv",
        "report.md",
        "state",
        "tensorboard",
        "learning_curves.png",
        "samples.png",
        "reconstructions.png",
    }
    config = json.loads((run.path / "config.json").read_text())
    assert Recipe.from_json(config["recipe"]) == recipe
    assert set(config["versions"]) >= {"keras-vae", "tensorflow", "keras", "python"}
    assert config["data"]["sha256"] == run.data.fingerprints
    rows = list(csv.DictReader((run.path / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {"loss", "rate", "distortion", "val_negative_elbo"} <= set(rows[0])
    report = (run.path / "report.md").read_text()
    assert f"{min(run.history()['val_negative_elbo']):.2f}" in report
    assert len(list((run.path / "state").iterdir())) == 2, "the last two states are kept"


def test_the_kept_model_is_the_best(run):
    history = run.history()["val_negative_elbo"]
    best = int(np.argmin(history)) + 1
    assert int(run.model.step.numpy()) == best * run.data.steps_per_epoch


def test_tensorboard_has_terms_and_pictures(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    scalars, images = {"loss", "val_negative_elbo", "learning_rate"}, {"samples", "reconstructions"}
    latents = {"active_units", "rate_per_dimension", "steps_per_second"}
    assert scalars | images | latents <= set(tags["tensors"])
    assert len(events.Tensors("loss")) == 4
    width, height, *pictures = events.Tensors("samples")[-1].tensor_proto.string_val
    assert (int(width), int(height)) == (8 * 10 + 2, 4 * 10 + 2), "30 validation images"
    assert pictures[0].startswith(b"\x89PNG")


def test_a_log_for_programs(recipe, tmp_path, monkeypatch):
    """Every line is an object; what they say is what the history holds."""

    def said(call):
        text = io.StringIO()
        call(Console(file=text, width=40))
        return [json.loads(line) for line in text.getvalue().splitlines()]

    path = tmp_path / "run"
    lines = said(lambda c: training.train(recipe, path, console=c, log_format="json"))
    assert [line["event"] for line in lines] == ["epoch"] * 4 + ["finished"]
    history = Run(path).history()
    for column in ("loss", "val_negative_elbo", "epoch"):
        assert [line[column] for line in lines[:-1]] == history[column]
    assert all(line["steps_per_second"] > 0 for line in lines[:-1])
    lines = said(lambda c: training.resume(path, console=c, log_format="json"))
    assert [line["event"] for line in lines] == ["resumed", "finished"]


def test_the_same_recipe_gives_the_same_run(run, recipe, tmp_path):
    assert_same_run(training.train(recipe, tmp_path / "again", console=QUIET), run)


@pytest.mark.parametrize(
    "options",
    [
        {"network": "conv", "hidden": (8, 16), "jit_compile": False},
        {"network": "conv", "hidden": (8, 16), "jit_compile": False, "objective": "iwae"},
        {"network": "conv", "hidden": (8, 16), "jit_compile": True},
        {"network": "mlp", "hidden": (256,), "jit_compile": False},
        {"network": "mlp", "hidden": (256,), "jit_compile": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_same_seed_gives_the_same_weights(options):
    """To the bit: gradients are summed in one order, in graph mode too, where buffers could decide it."""
    pictures = np.random.default_rng(0).integers(0, 256, (640, 28, 28, 1), np.uint8)
    splits = data.from_arrays(pictures, protocol="dynamic", batch_size=64)

    def trained():
        model = Recipe(**options, latent_dim=16, batch_size=64).build(splits)
        model.fit(splits.train, steps_per_epoch=8, epochs=4, verbose=0)
        return model.get_weights()

    for first, again in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(first, again)


def interrupted(recipe, path, monkeypatch, epoch, batch=0):
    """A run stopped by Ctrl-C at a batch (from 0) of an epoch (from 0)."""
    check = callbacks.StopAtNaN.on_train_batch_end

    def check_and_interrupt(self, at, logs=None):
        check(self, at, logs)
        if (self.epoch - 1, at) >= (epoch, batch):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopAtNaN, "on_train_batch_end", check_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.train(recipe, path, console=QUIET)
    return Run(path)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_is_the_uninterrupted_one(run, recipe, tmp_path, monkeypatch, epoch):
    """Stopped in the middle of an epoch: weights, optimiser, draws, best model, history, to the bit."""
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, epoch)
    assert len(stopped.history()["loss"]) == epoch
    assert_same_run(training.resume(tmp_path / "stopped", console=QUIET), run)


def test_a_damaged_newest_state_falls_back_to_the_one_before(run, recipe, tmp_path, monkeypatch):
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, 3)
    newest = sorted((stopped.path / "state").glob("*.npz"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged"):
        resumed = training.resume(tmp_path / "stopped", console=QUIET)
    assert_same_run(resumed, run)


def test_a_run_without_an_intact_state_is_not_begun_anew(recipe, tmp_path, monkeypatch):
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, 2)
    model = stopped.model_path.read_bytes()
    for path in (stopped.path / "state").iterdir():
        path.write_bytes(path.read_bytes()[:-50])
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match=r"no intact state.*model\.keras.*kept"),
    ):
        training.resume(stopped.path, console=QUIET)
    assert stopped.model_path.read_bytes() == model
    assert len(Run(stopped.path).history()["loss"]) == 2


def test_ctrl_c_in_the_first_epoch_keeps_a_model_and_resumes(run, recipe, tmp_path, monkeypatch):
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, 0, batch=3)
    assert stopped.model.generate(2).shape == (2, 8, 8, 1)
    assert_same_run(training.resume(tmp_path / "stopped", console=QUIET), run)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_or_a_read_only_folder_costs_nothing_that_was_written(
    run, recipe, tmp_path, monkeypatch, code
):
    """From some file on nothing can be written; with space again, the run goes on to the bit."""
    writes, write_bytes = [], Path.write_bytes

    def fail_later(self, content):
        writes.append(self)
        if len(writes) > 5:
            write_bytes(self, content[: len(content) // 2])
            raise OSError(code, os.strerror(code))
        return write_bytes(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail_later)
        with pytest.raises(OSError, match=f"{os.strerror(code)}: .*stopped.* is kept"):
            training.train(recipe, tmp_path / "stopped", console=QUIET)
    stopped = Run(tmp_path / "stopped")
    assert stopped.model.generate(2).shape == (2, 8, 8, 1)
    assert not list(stopped.path.rglob(".*")), "no half of a file is left"
    assert_same_run(training.resume(stopped.path, console=QUIET), run)


def test_a_clock_that_jumps_changes_nothing(run, recipe, tmp_path, monkeypatch):
    jumps = random.Random(0)
    since_1980 = 3.2e8  # ZIP files, and so .keras files, know no earlier time
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(since_1980, 4e9))
    assert_same_run(training.train(recipe, tmp_path / "run", console=QUIET), run)


def test_early_stopping_watches_the_bound_and_survives_a_restart(recipe, tmp_path, monkeypatch):
    """With a learning rate that only does harm, the run ends `patience` epochs after its best."""
    harmful = dataclasses.replace(recipe, learning_rate=2.0, patience=2, epochs=12)
    whole = training.train(harmful, tmp_path / "whole", console=QUIET)
    history = whole.history()["val_negative_elbo"]
    assert len(history) < 12
    assert len(history) == int(np.argmin(history)) + 1 + 2
    interrupted(harmful, tmp_path / "stopped", monkeypatch, 1)
    assert_same_run(training.resume(tmp_path / "stopped", console=QUIET), whole)
    again = training.resume(tmp_path / "stopped", console=QUIET)
    assert len(again.history()["loss"]) == len(history), "a stopped run stays stopped"


def test_the_rate_is_annealed_and_has_its_free_bits_as_the_recipe_says(recipe):
    splits = recipe.load_data()  # 12 updates an epoch, 48 together
    assert recipe.epochs * splits.steps_per_epoch == 48
    chosen = dataclasses.replace(recipe, cycles=5, beta=2.0, free_bits=0.25)
    objective = chosen.build(splits).objective
    assert objective.free_bits == 0.25
    beta = [float(objective.beta(step)) for step in range(48)]
    assert [step for step in range(48) if beta[step] == 0.0] == [0, 10, 20, 30, 40]
    np.testing.assert_allclose(beta[10:17], [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.0], rtol=1e-6)
    rising = dataclasses.replace(recipe, warm_up=2, beta=2.0).build(splits).objective
    np.testing.assert_allclose([rising.beta(step) for step in (0, 12, 24, 47)], [0, 1, 2, 2])
    assert rising.free_bits == 0.0


def test_the_capacity_rises_as_the_recipe_says(recipe):
    splits = recipe.load_data()
    chosen = dataclasses.replace(recipe, objective="capacity", capacity=8.0, warm_up=2)
    objective = chosen.build(splits).objective
    assert objective.gamma == 100.0
    np.testing.assert_allclose([objective.capacity(step) for step in (0, 6, 24, 47)], [0, 2, 8, 8])
    at_once = dataclasses.replace(chosen, warm_up=0, beta=3.0).build(splits).objective
    assert at_once == objectives.Capacity(gamma=3.0, capacity=8.0)


@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        ("elbo", objectives.ELBO(beta=7.0)),
        ("rae", objectives.RAE(beta=7.0, weight_decay=1e-3)),
        ("beta-tc", objectives.BetaTC(beta=7.0, num_examples=240)),
        ("dip", objectives.DIPVAE(off_diagonal=7.0, diagonal=7.0)),
        ("info", objectives.InfoVAE(scale=7.0)),
        ("structural-similarity", objectives.StructuralSimilarity(weight=7.0)),
    ],
)
def test_beta_is_the_weight_of_what_an_objective_adds(recipe, name, weighted):
    splits = recipe.load_data()
    chosen = dataclasses.replace(recipe, objective=name, beta=7.0)
    assert training.parts.OBJECTIVES[name](chosen, splits) == weighted


def test_warm_up_is_chosen_by_the_bound_that_is_not_annealed(recipe, tmp_path):
    annealed = dataclasses.replace(recipe, warm_up=3)
    run = training.train(annealed, tmp_path / "run", console=QUIET)
    history = run.history()
    bound = np.array(history["val_distortion"]) + history["val_rate"]
    np.testing.assert_allclose(history["val_negative_elbo"], bound, rtol=1e-5)
    beta = (np.array(history["val_loss"]) - history["val_distortion"]) / history["val_rate"]
    np.testing.assert_allclose(beta, [1 / 3, 2 / 3, 1, 1], atol=1e-3)
    best = int(np.argmin(history["val_negative_elbo"])) + 1
    assert int(run.model.step.numpy()) == best * run.data.steps_per_epoch


def test_a_loss_that_becomes_nan_stops_the_run_and_keeps_the_last_good_model(
    recipe, tmp_path, monkeypatch
):
    class Poison(logs.TextLog):
        """Spoils a weight at the start of the third epoch."""

        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch)
            if epoch == 2:
                bias = self.model.decoder.layers[-2].bias
                bias.assign(np.full(bias.shape, np.nan))

    monkeypatch.setitem(logs.LOGS, "text", Poison)
    with pytest.raises(
        TrainingDiverged, match=r"NaN or infinite in epoch 3\..*kept in .*model\.keras"
    ):
        training.train(recipe, tmp_path / "run", console=QUIET)
    run = Run(tmp_path / "run")
    assert len(run.history()["loss"]) == 2
    assert np.isfinite(np.concatenate([w.ravel() for w in run.model.get_weights()])).all()


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 100_000])
def test_the_learning_rate_rises_and_falls_to_nothing(steps):
    schedule = adam(1e-3, steps).learning_rate
    optimizer = adam(1e-3, steps)
    optimizer.build([])
    rates = [float(optimizer._learning_rate(s)) for s in np.linspace(0, steps, 50).astype(int)]
    assert max(rates) <= 1e-3 * 1.0001
    assert rates[-1] < 1e-4 or steps < 3
    assert schedule is not None


def test_steps_per_execution_divide_the_epoch():
    assert [steps_per_execution(n) for n in (429, 468, 31, 1, 64)] == [13, 26, 31, 1, 32]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "mpl"}, "Unknown network 'mpl'.*Did you mean 'mlp'.*mlp, conv"),
        ({"likelihood": "bernuli"}, "Unknown likelihood.*Did you mean 'bernoulli'"),
        ({"prior": "vampire"}, "Unknown prior 'vampire'.*normal, mixture"),
        ({"posterior": "iaff"}, "Unknown posterior 'iaff'.*Did you mean 'iaf'"),
        (
            {"posterior": "power-spherical", "prior": "normal"},
            "PowerSpherical .*'sphere'.* StandardNormal .*'real'",
        ),
        ({"posterior": "iaf", "objective": "dreg"}, "DReG .* IAF .*such as ELBO or IWAE"),
        ({"posterior": "relaxed-categorical"}, "num_categories=10.*latent_dim=3"),
        (
            {"num_categories": 3},
            "num_categories belongs to the posterior relaxed-categorical, not to normal",
        ),
        ({"objective": "ELBOW"}, "Did you mean 'elbo'"),
        ({"activation": "threshold"}, "Unknown activation 'threshold'"),
        ({"activation": "rellu"}, "Unknown activation 'rellu'.*relu"),
        ({"epochs": 0}, "epochs.*at least 1.*0"),
        ({"learning_rate": float("nan")}, "learning_rate.*nan"),
        ({"warm_up": -1}, "warm_up.*-1"),
        ({"beta": -1.0, "warm_up": 2}, "beta.*-1"),
        ({"cycles": 2, "warm_up": 1}, "cycles.*no warm_up.*warm_up=1"),
        ({"cycles": 2, "beta": 0.0}, "cycles.*beta above 0.*beta=0"),
        ({"cycles": -1}, "cycles.*-1"),
        ({"cycles": 2, "objective": "iwae"}, "cycles belongs to the objective elbo, not to iwae"),
        ({"free_bits": -0.1}, "free_bits.*-0.1"),
        ({"capacity": -1.0, "objective": "capacity"}, "capacity.*-1"),
        ({"capacity": 10.0}, "capacity belongs to the objective capacity, not to elbo"),
        ({"free_bits": 0.1, "prior": "mixture"}, "ELBO.*NormalMixture"),
        ({"mechanism": "linar"}, "Did you mean 'linear'"),
        ({"mechanism": "linear"}, "Expected a table with missing values.*images"),
        ({"patience": 0}, "patience.*0"),
        (
            {"objective": "iwae", "beta": 2.0},
            r"beta belongs to the objective elbo or beta-tc or .*, not to iwae",
        ),
        ({"num_samples": 7}, r"num_samples belongs to the objective iwae or .*, not to elbo"),
        (
            {"num_components": 7},
            "num_components belongs to the prior mixture or vamp, not to normal",
        ),
        ({"warm_up": 5}, "warm_up of 5 epochs does not end within 4"),
        (
            {"likelihood": "bernoulli", "protocol": "grey"},
            "Bernoulli is defined for 0 or 1.*dynamic",
        ),
        ({"batch_size": 1000}, "fewer training examples than one batch.*1,000.*240"),
        ({"network": "conv", "hidden": (4, 4, 4, 4)}, "at least 16 x 16.*8 x 8"),
    ],
)
def test_unfit_recipes_are_refused_before_a_folder_is_made(recipe, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        training.train(dataclasses.replace(recipe, **changes), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", training.POSTERIORS)
def test_every_posterior_comes_with_a_prior_that_fits(recipe, name):
    others = {"relaxed-categorical": {"num_categories": 3}, "deterministic": {"objective": "rae"}}
    options: dict = others.get(name, {})
    chosen = dataclasses.replace(recipe, posterior=name, **options)
    model = chosen.build(chosen.load_data())
    assert model.posterior.support == model.prior.support
    assert Recipe.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


def test_a_weight_of_one_goes_with_every_objective(recipe):
    for name in training.OBJECTIVES:
        assert dataclasses.replace(recipe, objective=name, beta=1.0).rate_weight == 1.0


def test_a_vamp_prior_is_made_of_the_posterior_of_the_recipe(recipe):
    chosen = dataclasses.replace(
        recipe, posterior="multivariate-normal", prior="vamp", num_components=4
    )
    model = chosen.build(chosen.load_data())
    assert type(model.prior.posterior) is type(model.posterior)
    assert chosen.chosen_prior == "vamp"


def test_folders_of_others_are_left_alone(recipe, run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="did not write"):
            training.train(recipe, tmp_path / "mine", overwrite=overwrite, console=QUIET)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    before = run.model_path.read_bytes()
    with pytest.raises(FileExistsError, match=r"earlier result.*--resume.*--overwrite"):
        training.train(recipe, run.path, console=QUIET)
    assert run.model_path.read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        training.train(recipe, tmp_path / "file", console=QUIET)


def test_unfit_run_folders_say_what_is_wrong(run, recipe, images, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run folder.*keras-vae train"):
        Run(tmp_path / "nowhere")
    (tmp_path / "foreign").mkdir()
    with pytest.raises(ValueError, match="not a run folder"):
        Run(tmp_path / "foreign")
    broken = tmp_path / "broken"
    broken.mkdir()
    config = (run.path / "config.json").read_text()
    for text, words in (
        (config[: len(config) // 2], "not a run folder of keras-vae"),
        ("[]", "not a run folder of keras-vae"),
        (config.replace('"latent_dim"', '"latent"'), r"config\.json is damaged.*latent"),
        (config.replace('"name"', '"names"'), r"config\.json is damaged.*name"),
        (config.replace('"mlp"', '"mpl"'), r"config\.json is damaged.*Unknown network"),
        (config.replace('"kind": "run"', '"kind": "export"'), "another result, export"),
        (config.replace('"format": 1', '"format": 2'), "format 2.*reads format 1"),
    ):
        (broken / "config.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            Run(broken)
    (broken / "config.json").write_text(config)
    with pytest.raises(FileNotFoundError, match=r"no model\.keras"):
        _ = Run(broken).model
    model = run.model_path.read_bytes()
    for content in (b"", b"not a zip", model[: len(model) // 2]):
        (broken / "model.keras").write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.keras cannot be loaded: it is damaged"):
            _ = Run(broken).model
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(broken / "model.keras")
    with pytest.raises(ValueError, match="holds a Sequential"):
        _ = Run(broken).model


def test_a_damaged_history_is_named(run, tmp_path):
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "config.json").write_text((run.path / "config.json").read_text())
    for text in ("epoch,loss\n1\n", "epoch,loss\n1,high\n", "epoch,loss\n1,2\n", "\0", ""):
        (broken / "history.csv").write_text(text)
        with pytest.raises(ValueError, match=r"history\.csv is damaged"):
            Run(broken).history(["loss"])


def test_the_seed_is_of_weights_draws_and_order(recipe):
    """Each differs between seeds, and is the same for one."""

    def parts(seed):
        seeded = dataclasses.replace(recipe, seed=seed)
        splits = seeded.load_data()
        model = seeded.build(splits)
        batch = next(iter(splits.train)).numpy()
        kernel = model.encoder.layers[-1].get_weights()[0]
        return [kernel, np.array(model.sampling.next_seed()), batch]

    one, again, other = parts(1), parts(1), parts(2)
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_the_order_of_the_data_is_of_the_seed(recipe):
    """Values that are not redrawn: the same set in another order."""
    grey = dataclasses.replace(recipe, protocol="grey", likelihood="normal")
    orders = [
        np.concatenate(list(dataclasses.replace(grey, seed=seed).load_data().train.take(12)))
        for seed in (1, 2)
    ]
    assert (orders[0] != orders[1]).any()
    totals = [np.sort(order.sum(axis=(1, 2, 3))) for order in orders]
    np.testing.assert_allclose(*totals, rtol=1e-5)


def test_a_damaged_best_model_is_found_before_more_is_trained(recipe, tmp_path, monkeypatch):
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, 2)
    stopped.model_path.write_bytes(b"junk")
    states = sorted(path.name for path in (stopped.path / "state").iterdir())
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded"):
        training.resume(stopped.path, console=QUIET)
    assert sorted(path.name for path in (stopped.path / "state").iterdir()) == states


def test_a_key_press_that_is_swallowed_stops_the_run_at_the_next_step(
    run, recipe, tmp_path, monkeypatch
):
    """TensorFlow and Keras catch all exceptions in places, KeyboardInterrupt too."""
    check, pressed = callbacks.StopAtNaN.on_train_batch_end, []

    def press_and_swallow(self, at, logs=None):
        check(self, at, logs)
        if self.epoch == 2 and not pressed:
            pressed.append(at)
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopAtNaN, "on_train_batch_end", press_and_swallow)
        with pytest.raises(KeyboardInterrupt):
            training.train(recipe, tmp_path / "stopped", console=QUIET)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(Run(tmp_path / "stopped").history()["loss"]) == 1
    assert_same_run(training.resume(tmp_path / "stopped", console=QUIET), run)


def test_a_restored_run_has_its_history_anew(run, recipe, tmp_path, monkeypatch):
    """Of a finished run, and of one that was killed between history and state."""
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    whole = (copy / "history.csv").read_bytes()
    for damage in (b"", whole[:-30], whole + whole.splitlines(keepends=True)[-1]):
        (copy / "history.csv").write_bytes(damage)
        training.resume(copy, console=QUIET)
        assert (copy / "history.csv").read_bytes() == whole


def test_a_run_killed_before_its_first_state_begins_again(run, recipe, tmp_path, monkeypatch):
    stopped = interrupted(recipe, tmp_path / "stopped", monkeypatch, 1)
    shutil.rmtree(stopped.path / "state")
    (stopped.path / ".keras_vae-killed" / "new").mkdir(parents=True)
    assert len(stopped.history()["loss"]) == 1
    assert_same_run(training.resume(stopped.path, console=QUIET), run)
    assert not (stopped.path / ".keras_vae-killed").exists()


def test_a_run_whose_states_or_best_model_are_gone_is_not_begun_anew(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    (copy / "model.keras").rename(copy / "mine.keras")
    with pytest.raises(
        ValueError, match=r"model\.keras is gone: the best model so far, of epoch \d"
    ):
        training.resume(copy, console=QUIET)
    (copy / "mine.keras").rename(copy / "model.keras")
    shutil.rmtree(copy / "state")
    with pytest.raises(ValueError, match=r"state is gone.*after its 4 epochs.*--overwrite"):
        training.resume(copy, console=QUIET)
    assert (copy / "model.keras").exists()


def test_a_run_may_be_in_the_working_directory(recipe, tmp_path, monkeypatch):
    """`--output .`, in a folder whose parent cannot be written to; data by a relative path."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    (tmp_path / "data.npy").write_bytes(Path(recipe.data).read_bytes())
    short = dataclasses.replace(recipe, data="../data.npy", epochs=1)
    made = place.stat().st_ino
    for _ in range(2):
        training.train(short, ".", overwrite=True, console=QUIET)
        (place / "notes.txt").write_text("mine")
    assert place.stat().st_ino == made
    assert (place / "notes.txt").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    assert Run(place).data.num_train == 240


def test_data_that_do_not_fit_anywhere_are_refused_before_an_earlier_run_is_replaced(
    recipe, tmp_path
):
    short = dataclasses.replace(recipe, epochs=1)
    run = training.train(short, tmp_path / "run", console=QUIET)
    values = np.zeros((300, 8, 8, 1), np.float32)
    values[123, 4, 4] = 0.5
    np.save(tmp_path / "grey.npy", values)
    before = run.model_path.read_bytes()
    unfit = dataclasses.replace(
        short, data=str(tmp_path / "grey.npy"), protocol="raw", likelihood="bernoulli"
    )
    with pytest.raises(ValueError, match=r"Bernoulli is defined for 0 or 1\..*0\.5"):
        training.train(unfit, run.path, overwrite=True, console=QUIET)
    assert run.model_path.read_bytes() == before


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, (0, 1)), (-1.0, 1.0, (-1, 1)), (0.0, 255.0, (0, 255)), (0.2, 0.7, (0, 1))],
)
def test_pictures_span_the_data(recipe, tmp_path, low, high, expected):
    values = np.full((300, 8, 8, 1), low, np.float32)
    values[:, ::2] = high
    np.save(tmp_path / "data.npy", values)
    scaled = dataclasses.replace(
        recipe, data=str(tmp_path / "data.npy"), protocol="raw", likelihood="normal", epochs=1
    )
    run = training.train(scaled, tmp_path / "run", console=QUIET)
    assert run.value_range == expected
    with Image.open(run.path / "reconstructions.png") as image:
        originals = np.asarray(image)[4:20, 4:20]
    black, white = (
        round(255 * (v - expected[0]) / (expected[1] - expected[0])) for v in (low, high)
    )
    assert set(np.unique(originals)) == {black, white}


def test_categorical_data_train_by_name(recipe, tmp_path):
    values = np.random.default_rng(0).integers(0, 5, (300, 6)).astype(np.float32)
    np.save(tmp_path / "data.npy", values)
    named = dataclasses.replace(
        recipe, data=str(tmp_path / "data.npy"), protocol="raw", likelihood="categorical", epochs=1
    )
    run = training.train(named, tmp_path / "run", console=QUIET)
    assert run.model.likelihood.num_categories == 5
    assert set(np.unique(run.model.generate(20))) <= set(range(5))


def test_the_likelihood_suits_the_data(tmp_path):
    rng = np.random.default_rng(0)
    for values, expected in [
        ((rng.random((60, 4)) < 0.5).astype(np.uint8), "Bernoulli"),
        (rng.integers(0, 256, (60, 4, 4, 1)).astype(np.uint8), "ContinuousBernoulli"),
        (rng.normal(size=(60, 4)).astype(np.float32), "Normal"),
    ]:
        np.save(tmp_path / "data.npy", values)
        recipe = Recipe(data=str(tmp_path / "data.npy"), batch_size=8, hidden=(4,), latent_dim=2)
        model = recipe.build(recipe.load_data())
        assert type(model.likelihood).__name__ == expected


@pytest.mark.parametrize("name", ["beta", "discretized-logistic-mixture", "zero-inflated-poisson"])
@pytest.mark.parametrize("protocol", ["grey", "raw"])
def test_a_likelihood_by_name_takes_the_values_of_the_protocol(name, protocol, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1)).astype(np.uint8)
    np.save(tmp_path / "data.npy", values)
    recipe = Recipe(
        data=str(tmp_path / "data.npy"),
        protocol=protocol,
        likelihood=name,
        batch_size=8,
        hidden=(4,),
        latent_dim=2,
    )
    splits = recipe.load_data()
    model, x = recipe.build(splits), splits.examples("test")
    fits = {"beta": "grey", "zero-inflated-poisson": "raw"}.get(name, protocol) == protocol
    if not fits:
        with pytest.raises(ValueError, match="is defined for"):
            model.check_batch(x)
        return
    model.check_batch(x)
    shown = model.show(np.zeros((1, 2)))[0]  # the output bias: the mean, in the data's unit
    np.testing.assert_allclose(shown, splits.mean, rtol=1e-3)


def test_beta_weighs_what_an_objective_adds(images):
    recipe = Recipe(data=str(images), batch_size=8, hidden=(4,), latent_dim=2)
    splits = recipe.load_data()
    for name, field, default in (
        ("beta-tc", "beta", 6.0),
        ("factor", "gamma", 35.0),
        ("adversarial", "scale", 1.0),
        ("structural-similarity", "weight", 100.0),
    ):
        for beta, expected in ((None, default), (1.0, 1.0), (2.0, 2.0)):
            chosen = dataclasses.replace(recipe, objective=name, beta=beta)
            objective = training.OBJECTIVES[name](chosen, splits)
            assert getattr(objective, field) == expected, name


def test_an_objective_without_a_density_gets_a_posterior_without_one(images):
    recipe = Recipe(data=str(images), batch_size=8, hidden=(4,), latent_dim=2, objective="rae")
    model = recipe.build(recipe.load_data())
    assert type(model.posterior).__name__ == "Deterministic"
    assert model.encoder.output_shape == (None, 2)


def test_changed_data_are_noticed(recipe, images, tmp_path):
    data = tmp_path / "data.npy"
    data.write_bytes(images.read_bytes())
    short = dataclasses.replace(recipe, data=str(data), epochs=1)
    run = training.train(short, tmp_path / "run", console=QUIET)
    changed = np.load(data)
    changed[0, 0, 0, 0] ^= 255
    np.save(data, changed)
    with pytest.raises(ValueError, match=r"not those that .* was trained on"):
        _ = Run(run.path).data
