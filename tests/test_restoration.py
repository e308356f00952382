"""Damage drawn from a seed, several answers to it, their mean and spread, commands and exports."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from keras_vae import VAE, data, likelihoods, networks, priors, training
from keras_vae.applications import Restoration, SuperResolution, restoration
from keras_vae.data.conditions import add_noise, hide
from keras_vae.export import load

RNG = np.random.default_rng(0)
IMAGES = (255 * RNG.random((60, 8, 8)) * (RNG.random((60, 8, 1)) < 0.5)).astype(np.uint8)
SMALL = {"epochs": 1, "hidden": (8,), "latent_dim": 2, "num_answers": 4}


@pytest.mark.parametrize("condition", ["noisy", "hidden"])
def test_damage_is_drawn_anew_in_training_and_once_elsewhere(condition):
    splits = data.from_arrays(IMAGES, batch_size=8, condition=condition)
    again = data.from_arrays(IMAGES, batch_size=8, condition=condition, seed=1)
    np.testing.assert_array_equal(
        splits.examples("test")["damaged"], again.examples("test")["damaged"]
    )
    first, second = (next(iter(splits.train_from(step))) for step in (0, splits.steps_per_epoch))
    same = next(iter(splits.train_from(0)))
    np.testing.assert_array_equal(first["damaged"], same["damaged"])
    assert np.abs(first["damaged"] - second["damaged"]).max() > 0.1
    whole = np.concatenate([batch["damaged"] for batch in splits.test])
    np.testing.assert_array_equal(whole, splits.examples("test")["damaged"])


def test_noise_has_the_standard_deviation_that_it_says():
    x = tf.random.stateless_uniform([500, 8, 8, 1], [1, 2])
    noise = (add_noise(x, tf.constant([3, 4])) - x).numpy()
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert abs(noise.mean()) < 0.3 * 4 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise.reshape(500, -1)[:, :2].T)[0, 1]) < 0.2


def test_a_rectangle_is_hidden_anywhere_in_the_image():
    x = tf.random.stateless_uniform([3000, 8, 12, 1], [1, 2]) + 1
    entries = {name: value.numpy() for name, value in hide(x, tf.constant([3, 4])).items()}
    hidden = entries["kept"][..., 0] == 0
    np.testing.assert_array_equal(entries["damaged"][..., 0] == 0, hidden)
    np.testing.assert_array_equal(entries["damaged"][~hidden], x.numpy()[~hidden])
    heights, widths = hidden.any(axis=2).sum(axis=1), hidden.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(heights * widths, hidden.sum(axis=(1, 2)))  # it is a rectangle
    for sizes, least, most in ((heights, 2, 4), (widths, 3, 6)):
        counts = np.bincount(sizes)[least:]
        assert len(counts) == most - least + 1
        np.testing.assert_allclose(counts / 3000, 1 / len(counts), atol=0.04)
    assert hidden.any(axis=0).all()
    # A corner is hidden by rectangles that start there: 1 of 8 - h + 1 and of 12 - w + 1 places.
    expected = np.mean([1 / (9 - h) for h in (2, 3, 4)]) * np.mean(
        [1 / (13 - w) for w in range(3, 7)]
    )
    for corner in (hidden[:, 0, 0], hidden[:, -1, -1]):
        assert corner.mean() == pytest.approx(expected, abs=0.012)


def known() -> VAE:
    """One whose answers are known: x = [low + z, low - z], z ~ N(low, 0.5^2)."""
    encoder, decoder = networks.mlp(
        (2,), 1, hidden=(), likelihood=likelihoods.Normal(scale=0.1), conditions={"low": (1,)}
    )
    decoder.set_weights([np.array([[1.0, -1.0], [1.0, 1.0]]), np.zeros(2)])
    prior = priors.ConditionalNormal(networks.conditional({"low": (1,)}, 2, hidden=()))
    prior.network.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 2 * np.log(0.5)])])
    return VAE(encoder, decoder, likelihood=likelihoods.Normal(scale=0.1), prior=prior)


def test_answers_have_the_mean_and_the_spread_of_the_model():
    low = np.array([[0.0], [1.0], [-2.0]], np.float32)
    mean, spread = restoration.mean_and_spread(known(), {"low": low}, num_answers=100, seed=3)
    np.testing.assert_allclose(mean, low * [2, 0], atol=4 * 0.5 / 10)
    np.testing.assert_allclose(spread, 0.5, rtol=0.25)
    found = restoration.restore(known(), {"low": low}, num_answers=100, seed=3)
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), spread, atol=1e-5)
    np.testing.assert_allclose(
        found.sum(axis=-1), np.broadcast_to(2 * low[:, 0], (100, 3)), atol=1e-5
    )


def test_answers_do_not_depend_on_how_many_are_asked_for():
    low = np.array([[0.0], [1.0], [-2.0]], np.float32)
    found = restoration.restore(known(), {"low": low}, num_answers=5, seed=3)
    fewer = restoration.restore(known(), {"low": low[:2]}, num_answers=2, seed=3)
    np.testing.assert_allclose(fewer, found[:2, :2], atol=1e-6)
    other = restoration.restore(known(), {"low": low}, num_answers=5, seed=4)
    assert np.abs(other - found).min() > 1e-5
    with pytest.raises(ValueError, match="no image"):
        restoration.restore(known(), {"low": low[:0]})


def test_quality_is_that_of_its_formula():
    x, y = RNG.random((2, 3, 12, 12, 1)).astype(np.float32)
    expected = -10 * np.log10(((x - y) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(restoration.psnr(x, y), expected, rtol=1e-5)
    np.testing.assert_allclose(
        restoration.psnr(x, y + 9), -10 * np.log10(((1 - x) ** 2).mean((1, 2, 3))), rtol=1e-5
    )
    np.testing.assert_allclose(restoration.ssim(x, x), 1.0, rtol=1e-5)
    flat = np.full_like(x, 0.5), np.full_like(x, 0.7)  # without variance: the term of means is left
    np.testing.assert_allclose(
        restoration.ssim(*flat), (2 * 0.35 + 1e-4) / (0.25 + 0.49 + 1e-4), rtol=1e-3
    )


@pytest.fixture(scope="module")
def fitted():
    return {
        "low": SuperResolution(factor=4, **SMALL).fit(IMAGES),
        "noisy": Restoration(damage="noisy", **SMALL).fit(IMAGES),
        "hidden": Restoration(damage="hidden", **SMALL).fit(IMAGES),
    }


@pytest.mark.parametrize("kind", ["low", "noisy", "hidden"])
def test_estimators_restore_what_they_damage(kind, fitted):
    estimator = fitted[kind]
    damaged = estimator.degrade(IMAGES[:5])
    found = estimator.sample(damaged, seed=estimator.seed_)
    assert found.shape == (4, 5, 8, 8, 1)
    np.testing.assert_allclose(estimator.predict(damaged), found.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(estimator.spread(damaged), found.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(
        estimator.sample(damaged[:1], 3, seed=estimator.seed_), found[:3, :1], atol=1e-5
    )
    x = IMAGES[:5, ..., np.newaxis] / np.float32(255)
    quality = -10 * np.log10(((x - np.clip(found.mean(axis=0), 0, 1)) ** 2).mean(axis=(1, 2, 3)))
    assert estimator.score(IMAGES[:5]) == pytest.approx(quality.mean(), abs=0.01)


def test_a_clone_learns_the_same(fitted):
    damaged = fitted["hidden"].degrade(IMAGES[:5])
    again = clone(fitted["hidden"]).fit(IMAGES)
    np.testing.assert_array_equal(again.predict(damaged), fitted["hidden"].predict(damaged))


def test_damaged_images_may_be_eight_bit_and_without_channels(fitted):
    low = fitted["low"].degrade(IMAGES[:4])
    np.testing.assert_allclose(
        low[..., 0], IMAGES[:4].reshape(4, 2, 4, 2, 4).mean(axis=(2, 4)) / 255, rtol=1e-5
    )
    pixels = np.round(255 * low).astype(np.uint8)
    np.testing.assert_allclose(
        fitted["low"].predict(pixels[..., 0]),
        fitted["low"].predict(pixels / np.float32(255)),
        atol=1e-5,
    )


def test_what_is_seen_is_kept_and_decides_what_fills_the_rest(fitted):
    estimator = fitted["hidden"]
    damaged = estimator.degrade(IMAGES[:2])
    kept = restoration.as_conditions(estimator.model, damaged)["kept"]
    np.testing.assert_array_equal(kept == 0, np.isnan(damaged))
    assert 4 <= np.isnan(damaged[0]).sum() <= 16
    seen = kept > 0
    np.testing.assert_array_equal(estimator.predict(damaged)[seen], damaged[seen])
    other = np.where(np.isnan(damaged), np.nan, 1 - damaged)
    change = np.abs(estimator.predict(other) - estimator.predict(damaged))
    assert change[~seen].max() > 1e-4


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("low", lambda X: X[:0], "0 sample"),
        ("low", lambda X: X[:, :1], r"restores images of shape \(2, 2, 1\)"),
        ("low", lambda X: np.where(X >= 0, np.inf, X), "infinity"),
        ("low", lambda X: np.where(X >= 0, np.nan, X), "not trained to fill in"),
        ("hidden", lambda X: np.full((2, 8, 8), np.inf), "infinity"),
        ("hidden", lambda X: IMAGES.reshape(60, -1), r"restores images of shape \(8, 8, 1\)"),
    ],
)
def test_damaged_images_that_do_not_fit_are_refused(kind, change, said, fitted):
    damaged = fitted["low"].degrade(IMAGES[:3])
    with pytest.raises(ValueError, match=said):
        fitted[kind].predict(change(damaged))


@pytest.mark.parametrize(
    ("make", "X", "said"),
    [
        (lambda: SuperResolution(**SMALL), IMAGES[:1], "1 sample"),
        (lambda: SuperResolution(**SMALL), IMAGES[:0], "0 sample"),
        (lambda: SuperResolution(**SMALL), IMAGES[:, :7], "multiples of 4"),
        (lambda: SuperResolution(factor=3, **SMALL), IMAGES, "downscaled-2"),
        (lambda: Restoration(damage="hiden", **SMALL), IMAGES, "Did you mean 'hidden'"),
        (lambda: Restoration(**SMALL), IMAGES.reshape(60, -1), "takes whole images"),
        (lambda: Restoration(**SMALL), np.full((9, 4, 4), np.nan), "Received: NaN"),
        (lambda: Restoration(**SMALL), np.full((9, 4, 4), np.inf), "infinity"),
    ],
)
def test_what_cannot_be_fitted_is_refused(make, X, said):
    with pytest.raises(ValueError, match=said):
        make().fit(X)


def test_nothing_is_asked_before_fit():
    for ask in ("predict", "sample", "spread", "degrade", "score"):
        with pytest.raises(NotFittedError):
            getattr(SuperResolution(), ask)(IMAGES)


@pytest.mark.parametrize("kind", ["low", "hidden"])
def test_exported_files_give_the_same_answers(kind, fitted, tmp_path):
    estimator = fitted[kind]
    estimator.export(tmp_path / "out", formats=("saved_model", "tflite"), num_samples=4)
    asked = restoration.as_conditions(estimator.model, estimator.degrade(IMAGES[:4]))
    expected = estimator.model.generate(4, seed=7, **asked)
    lite = load(tmp_path / "out/model.tflite")("generate", seed=[7, 0], **asked)["mean"]
    np.testing.assert_allclose(lite, expected, atol=1e-5)
    served = load(tmp_path / "out/saved_model")("generate", num_samples=4, seed=[7, 0], **asked)
    np.testing.assert_allclose(served["mean"], expected, atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    np.savez(folder / "d.npz", x_train=IMAGES, y_train=np.arange(60) % 3)
    for condition in ("downscaled-4", "hidden", "label"):
        recipe = training.Recipe(
            data=str(folder / "d.npz"), condition=condition, protocol="grey", hidden=(8,), latent_dim=2,
            likelihood="shared-scale-normal", epochs=1, batch_size=16, jit_compile=False,
        )  # fmt: skip
        training.train(recipe, folder / condition)
    return folder


def test_commands_write_pictures_and_arrays(cli, runs, tmp_path):
    code, out, err = cli("upscale", runs / "downscaled-4", "--output", tmp_path / "up.png")
    assert (code, err) == (0, "")
    assert "6 images, 16 answers to each, seed 0" in out
    with Image.open(tmp_path / "up.png") as picture:
        assert picture.size[0] > picture.size[1]
    words = ("--output", tmp_path / "up.npy", "--num-answers", "3", "--num-examples", "2")
    assert cli("upscale", runs / "downscaled-4", *words)[0] == 0
    run = training.Run(runs / "downscaled-4")
    low = run.data.examples("test", 2)["low"]
    expected = restoration.restore(run.model, {"low": low}, 3)
    np.testing.assert_allclose(np.load(tmp_path / "up.npy"), expected, atol=1e-6)
    quality = restoration.psnr(run.data.examples("test", 2)["x"], expected.mean(axis=0)).mean()
    assert (
        f"mean of the answers {quality:.2f} dB" in cli("upscale", runs / "downscaled-4", *words)[1]
    )


def test_commands_take_a_picture_or_an_array(cli, runs, tmp_path):
    pixels = IMAGES[0]
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[2:5, 3:6] = 0
    Image.fromarray(np.stack([pixels, alpha], axis=-1), "LA").save(tmp_path / "in.png")
    np.save(tmp_path / "in.npy", np.where(alpha == 0, np.nan, pixels / 255)[np.newaxis])
    found = {}
    for kind in ("png", "npy"):
        words = ("--input", tmp_path / f"in.{kind}", "--output", tmp_path / f"{kind}.npy")
        code, out, err = cli("restore", runs / "hidden", *words)
        assert (code, err) == (0, "")
        assert "PSNR" not in out
        found[kind] = np.load(tmp_path / f"{kind}.npy")
    assert found["png"].shape == (16, 1, 8, 8, 1)
    np.testing.assert_allclose(found["png"], found["npy"], atol=1e-6)


@pytest.mark.parametrize(
    ("command", "run", "options", "code", "said"),
    [
        ("upscale", "label", (), 2, "keras-vae train --condition downscaled-2"),
        ("upscale", "hidden", (), 2, "`keras-vae restore` is for hidden images"),
        ("restore", "downscaled-4", (), 2, "`keras-vae upscale` is for downscaled-4 images"),
        ("upscale", "downscaled-4", ("--output", "x.gif"), 2, "x.gif"),
        ("upscale", "downscaled-4", ("--input", "none.png"), 1, "no file none.png"),
        ("upscale", "downscaled-4", ("--input", "wide.png"), 1, "Received: images of shape (3, 2)"),
        ("upscale", "downscaled-4", ("--input", "text.npy"), 1, "holds no numbers"),
        ("upscale", "downscaled-4", ("--input", "text.png"), 1, "cannot identify"),
        ("restore", "hidden", ("--input", "infinite.npy"), 1, "Received NaN or infinite values"),
        ("upscale", "nothing", (), 1, "no run folder"),
    ],
)  # fmt: skip
def test_commands_say_what_is_wrong(
    cli, runs, tmp_path, monkeypatch, command, run, options, code, said
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGES[0, :3, :2]).save("wide.png")
    np.save("text.npy", np.array(["a"]))
    np.save("infinite.npy", np.full((1, 8, 8), np.inf))
    (tmp_path / "text.png").write_text(json.dumps("no picture"))
    words = ("--output", "out.png", *options)
    found, _, err = cli(command, runs / run, *words)
    assert found == code
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", err).split())
    assert not (tmp_path / "out.png").exists()
