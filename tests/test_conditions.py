"""Conditional models: builders, labels, the conditional prior."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae import VAE, data, export, likelihoods, networks, priors, training
from keras_vae.training import loop

CONDITIONS = {"label": 3, "angle": (2,)}


def conditional(build=networks.mlp, shape=(6,), prior=None, **options) -> VAE:
    return VAE(
        *build(shape, 2, conditions=CONDITIONS, **options),
        likelihood=likelihoods.Bernoulli(event_rank=len(shape)),
        prior=prior,
    )


def batch(shape=(6,), num_rows=8):
    rng = np.random.default_rng(0)
    return {
        "x": (rng.random((num_rows, *shape)) < 0.5).astype(np.float32),
        "label": rng.integers(0, 3, num_rows),
        "angle": rng.normal(size=(num_rows, 2)).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("build", "shape", "options"),
    [(networks.mlp, (6,), {"hidden": 8}), (networks.conv, (8, 8, 1), {"filters": (4, 4)})],
)
def test_what_a_network_is_told_changes_what_it_gives(build, shape, options):
    vae = conditional(build, shape, **options)
    assert list(vae.conditions) == list(vae.encoder_conditions) == ["label", "angle"]
    assert vae.labels == {"label": 3}
    given = batch(shape)
    vae.compile("adam", run_eagerly=True)
    vae.fit(given, batch_size=4, verbose=0)
    images = vae.generate(3, seed=1, label=[0, 1, 1], angle=[0.0, 0.0])
    one = vae.generate(3, seed=1, label=1, angle=[0.0, 0.0])
    np.testing.assert_array_equal(images[1:], one[1:])
    assert np.abs(images[0] - one[0]).max() > 1e-3
    other = {**given, "label": (given["label"] + 1) % 3}
    assert np.abs(vae.embed(given) - vae.embed(other)).min(axis=1).max() > 1e-4


@pytest.mark.parametrize("label", [-1, 3, 1.5])
def test_labels_outside_the_classes_are_refused_everywhere(label):
    vae = conditional(hidden=4)
    said = "fractions" if label == 1.5 else r"0 \.\.\. 2"
    with pytest.raises(ValueError, match=said):
        vae.generate(2, label=label, angle=[0.0, 0.0])
    given = {**batch(), "label": np.full(8, label)}
    with pytest.raises(ValueError, match=said):
        vae.embed(given)
    vae.compile("adam", run_eagerly=True)
    late = tf.data.Dataset.from_tensor_slices(
        {name: np.concatenate([batch()[name], given[name]]) for name in given}
    )
    with pytest.raises(ValueError, match="outside the classes"):
        vae.fit(late.batch(8), verbose=0)


def test_a_conditional_prior_is_the_normal_that_its_network_says():
    prior = priors.ConditionalNormal(networks.conditional({"label": 3}, 4, hidden=()))
    kernel, bias = prior.network.layers[-1].get_weights()
    loc, log_variance = np.split(kernel + bias, 2, axis=1)
    z = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    expected = stats.norm(loc, np.exp(0.5 * log_variance)).logpdf(z).sum(axis=1)
    given = {"label": np.arange(3)}
    np.testing.assert_allclose(prior.distribution(given).log_prob(z), expected, rtol=1e-5)
    pushed = prior.transform(z, given)
    np.testing.assert_allclose(pushed, loc + np.exp(0.5 * log_variance) * z, rtol=1e-5)
    with pytest.raises(ValueError, match="label"):
        prior.distribution(z)


def test_a_conditional_prior_learns_where_each_class_lies():
    """x says its class; told the class by the prior alone, the latents move apart, and the rate falls."""
    label = np.repeat(np.arange(2), 128)
    x = np.eye(2, dtype=np.float32)[label].repeat(4, axis=1)
    prior = priors.ConditionalNormal(networks.conditional({"label": 2}, 4, hidden=()))
    networks_of = networks.mlp(8, 2, hidden=16)
    rates = {}
    for name, chosen in {"standard": None, "conditional": prior}.items():
        vae = VAE(*networks_of, likelihood=likelihoods.Bernoulli(), prior=chosen)
        vae.compile(keras.optimizers.Adam(0.02), jit_compile=False)
        vae.fit({"x": x, "label": label}, batch_size=64, epochs=30, verbose=0)
        terms = vae.evaluate({"x": x, "label": label}, verbose=0, return_dict=True)
        rates[name] = terms["rate"]
    assert rates["conditional"] < 0.5 * rates["standard"]


@pytest.mark.parametrize("with_prior", [False, True])
def test_exported_files_take_the_label(tmp_path, with_prior):
    network = networks.conditional({"label": 3}, 4, hidden=4)
    prior = priors.ConditionalNormal(network) if with_prior else None
    vae = conditional(prior=prior, hidden=8)
    export.saved_model(vae, tmp_path / "saved")
    export.tflite(vae, tmp_path / "m.tflite", num_samples=4)
    asked = {"label": np.array([0, 1, 2, 1], np.int32), "angle": np.ones((4, 2), np.float32)}
    expected = vae.generate(4, seed=7, **asked)
    lite = export.load(tmp_path / "m.tflite")("generate", seed=[7, 0], **asked)["mean"]
    np.testing.assert_allclose(lite, expected, atol=1e-5)
    served = export.load(tmp_path / "saved")("generate", num_samples=4, seed=[7, 0], **asked)
    np.testing.assert_allclose(served["mean"], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["x", "z", "mask", "num_samples", "two words"])
def test_conditions_need_names_of_their_own(name):
    with pytest.raises(ValueError, match="name of its own"):
        networks.mlp(6, 2, conditions={name: 3})


def digits(labels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4)).astype(np.uint8)
    return data.from_arrays(images, train_labels=labels, batch_size=8, condition="label")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(60) % 3, ("0", "1", "2")),
        (np.array(["cat", "dog", "ox"])[np.arange(60) % 3], ("cat", "dog", "ox")),
    ],
)
def test_batches_carry_the_label_of_each_example(labels, classes):
    splits = digits(labels)
    assert splits.classes == classes
    assert splits.conditions == {"label": 3}
    images = splits.stored["train"].values / np.float32(255)
    batch = next(iter(splits.train))
    for x, label in zip(batch["x"].numpy(), batch["label"].numpy(), strict=True):
        where = int(np.argmin(np.abs(images - x).sum(axis=(1, 2, 3))))
        assert classes[label] == str(splits.train_labels[where])
    seen = np.concatenate([each["label"] for each in splits.validation])
    assert [classes[label] for label in seen] == list(map(str, splits.validation_labels))
    assert splits.examples("test", 2)["label"].shape == (2,)


def test_an_image_at_a_quarter_of_its_size_is_the_mean_of_its_pixels():
    rng = np.random.default_rng(0)
    images = rng.random((60, 8, 8, 1)).astype(np.float32)
    splits = data.from_arrays(images, batch_size=8, condition="downscaled-4")
    assert splits.conditions == {"low": (2, 2, 1)}
    batch = splits.examples("test")
    expected = batch["x"].reshape(-1, 2, 4, 2, 4, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(batch["low"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: digits(None), "at least two classes"),
        (lambda: digits(np.zeros(60)), "at least two classes"),
        (
            lambda: data.from_arrays(np.zeros((60, 9, 9)), batch_size=8, condition="downscaled-2"),
            "multiples of 2",
        ),
        (lambda: data.load("mnist", condition="lable"), "Did you mean 'label'"),
        (
            lambda: data.from_arrays(
                np.zeros((60, 4)), np.zeros((2, 4)), batch_size=8, condition="label",
                train_labels=np.arange(60) % 2, test_labels=np.array([1, 2]),
            ).examples("test"),
            "no training example has",
        ),
    ],
)  # fmt: skip
def test_data_without_what_the_condition_needs_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_run_under_a_condition_goes_on_as_if_never_stopped(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (80, 4, 4)).astype(np.uint8)}
    np.savez(tmp_path / "d.npz", **arrays, y_train=np.arange(80) % 3)
    recipe = training.Recipe(
        data=str(tmp_path / "d.npz"), condition="label", prior="conditional-normal", hidden=(8,),
        latent_dim=2, epochs=3, batch_size=16, jit_compile=False,
    )  # fmt: skip
    whole = training.train(recipe, tmp_path / "whole")

    class Stop(Exception):
        pass

    with pytest.MonkeyPatch.context() as patch:
        real = loop._HistoryFile.on_epoch_end

        def until_the_second(self, epoch, logs=None):
            if epoch == 1:
                raise Stop
            real(self, epoch, logs)

        patch.setattr(loop._HistoryFile, "on_epoch_end", until_the_second)
        with pytest.raises(Stop):
            training.train(recipe, tmp_path / "halved")
    halved = training.resume(tmp_path / "halved")
    for a, b in zip(whole.model.get_weights(), halved.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.history() == halved.history()
    assert (tmp_path / "whole/samples.png").exists()
