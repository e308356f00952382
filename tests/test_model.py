"""The VAE itself: conditions by name, arrays, parts that do not fit, data that do not fit."""

import functools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conformance.rows import data_for, vae

from keras_vae import (
    VAE,
    Sampling,
    evaluation,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
)

rng = np.random.default_rng(0)


def conditional_vae(**parts):
    """x [B, 6] and label [B, 2] in the encoder, z [B, 3] and label in the decoder; the decoder is linear."""
    x, label = keras.Input((6,), name="x"), keras.Input((2,), name="label")
    encoder = keras.Model(
        {"label": label, "x": x}, keras.layers.Dense(6)(keras.layers.Concatenate()([x, label]))
    )
    z = keras.Input((3,), name="z")
    decoder = keras.Model(
        [z, label], keras.layers.Dense(6)(keras.layers.Concatenate()([z, label])), name="decoder"
    )
    return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(), **parts)


def conditional_batch(num_examples=16):
    return {
        "x": (rng.random((num_examples, 6)) < 0.5).astype(np.float32),
        "label": np.eye(2, dtype=np.float32)[rng.integers(0, 2, num_examples)],
    }


def test_networks_get_the_entries_they_are_named_after():
    model, batch = conditional_vae(), conditional_batch()
    kernel, bias = model.decoder.layers[-1].get_weights()
    _, z = model.infer(batch, 4)
    conditions = np.broadcast_to(batch["label"], (4, 16, 2))
    expected = np.concatenate([z, conditions], axis=-1) @ kernel + bias
    np.testing.assert_allclose(model.decode(z, batch).distribution.logits, expected, atol=1e-5)
    kernel, bias = model.encoder.layers[-1].get_weights()
    mean = (np.concatenate([batch["x"], batch["label"]], axis=1) @ kernel + bias)[:, :3]
    np.testing.assert_allclose(model.embed(batch), mean, atol=1e-5)


@pytest.mark.parametrize("objective", [objectives.ELBO(), objectives.IWAE(num_samples=3)])
def test_conditional_models_train_save_and_generate(objective, tmp_path):
    model, batch = conditional_vae(objective=objective), conditional_batch()
    model.compile("adam", run_eagerly=True)
    model.fit(batch, batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    one = loaded.generate(5, seed=2, label=[0.0, 1.0])
    many = loaded.generate(5, seed=2, label=np.tile([[0.0, 1.0]], (5, 1)))
    np.testing.assert_array_equal(one, many)
    assert not np.allclose(one, loaded.generate(5, seed=2, label=[1.0, 0.0]))
    np.testing.assert_array_equal(one, model.generate(5, seed=2, label=[0.0, 1.0]))
    assert model.reconstruct(batch).shape == (16, 6)


def test_conditions_are_checked():
    model = conditional_vae()
    with pytest.raises(ValueError, match=r"asks for the conditions \['label'\].*Received: \[\]"):
        model.generate(3)
    with pytest.raises(ValueError, match=r"'label'.*\(2,\).*\(3, 2\).*\(5,\)"):
        model.generate(3, label=np.zeros(5))
    x = np.zeros((2, 6), "f")
    with pytest.raises(ValueError, match=r"\['label', 'x'\].*\['x'\].*\['label'\] is missing"):
        model.embed({"x": x})
    for label, words in (
        (np.zeros((3, 2)), r"'label'.*\(2, 2\).*\(3, 2\)"),
        (np.full((2, 2), np.nan), "'label'.*NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            model.embed({"x": x, "label": label})
    with pytest.raises(ValueError, match=r"mask.*\(2, 6\).*\(2,\)"):
        vae().embed({"x": x, "mask": np.ones(2)})
    with pytest.raises(ValueError, match=r"numbers.*<U1"):
        vae().embed(np.full((2, 6), "a"))


def test_a_mask_hides_missing_values_in_training():
    """Whatever stands where the mask is 0, NaN included: the same loss, gradients and embedding."""
    x = rng.normal(size=(32, 6)).astype(np.float32)
    mask = (rng.random((32, 6)) < 0.5).astype(np.float32)

    def trained(hidden):
        keras.utils.set_random_seed(0)
        model = vae(likelihoods.Normal())
        model.compile("sgd")
        batch = {"x": np.where(mask > 0, x, hidden).astype(np.float32), "mask": mask}
        history = model.fit(batch, batch_size=8, shuffle=False, verbose=0).history
        return [*model.get_weights(), model.embed(batch), model.reconstruct(batch), history["loss"]]

    for a, b in zip(trained(np.nan), trained(77.0), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


def test_reported_terms_are_means_over_examples():
    """A last batch of one example, however far off, counts for one example."""
    model = vae(likelihoods.Normal(scale=1.0))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    x = np.zeros((9, 6), np.float32)
    x[8] = 10.0
    model.compile("sgd", run_eagerly=True)
    by_hand = 9 * 6 * 0.5 * np.log(2 * np.pi) + 0.5 * 6 * 10.0**2
    for batch_size in (4, 9):
        terms = model.evaluate(x, batch_size=batch_size, verbose=0, return_dict=True)
        assert terms["distortion"] == pytest.approx(by_hand / 9, rel=1e-5)


def test_evaluation_repeats_itself_and_changes_no_training():
    def trained(validation_data):
        keras.utils.set_random_seed(0)
        model = vae()
        model.compile("adam", run_eagerly=True)
        model.fit(
            data_for(model, 32), batch_size=8, epochs=2, shuffle=False, verbose=0,
            validation_data=validation_data,
        )  # fmt: skip
        return model

    model, watched = trained(None), trained(data_for(vae(), 16))
    for a, b in zip(model.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    x = data_for(model, 32)
    assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)


def test_standard_callbacks_watch_the_monitor(tmp_path):
    """With the names that the objective gives its terms."""
    model = vae()
    monitor = f"val_{model.objective.monitor}"
    model.compile("adam", run_eagerly=True)
    x = data_for(model, 32)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "m.keras", monitor, mode="min", save_best_only=True
    )
    model.fit(
        x,
        epochs=3,
        validation_data=x,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor, mode="min", patience=1),
            keras.callbacks.ReduceLROnPlateau(monitor, mode="min"),
            best,
        ],
    )
    history = model.history.history[monitor]
    assert best.best == pytest.approx(min(history))


def test_what_would_be_ignored_is_refused():
    model, x = vae(), data_for(vae(), 8)
    model.compile("sgd")
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(x, sample_weight=np.ones(8), verbose=0)
    weighted = tf.data.Dataset.from_tensors((x, x, np.ones(8)))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(weighted, verbose=0)
    for validation in ((x, None, np.ones(8)), (x, x, np.ones(8))):
        with pytest.raises(ValueError, match="sample_weight"):
            model.fit(x, validation_data=validation, verbose=0)
    with pytest.raises(ValueError, match="sample_weight"):
        model.evaluate(x, sample_weight=np.ones(8), verbose=0)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(x, None, 4, 1, 0, None, 0.0, None, True, None, np.ones(8))  # by position
    with pytest.raises(ValueError, match="class_weight"):
        model.train_on_batch(x, class_weight={0: 1.0})
    with pytest.raises(ValueError, match=r"The objective is the loss.*Received: loss"):
        model.compile("sgd", loss="mse")
    model.fit(x, verbose=0)  # compiled as before


def test_a_scale_may_be_a_schedule(tmp_path):
    falling = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.1)
    model = vae(likelihoods.Normal(scale=falling))
    x = data_for(model, 8)
    z = model.infer(x)[1]
    params = model.decode_params(z)
    for step, scale in ((0, 1.0), (10, 0.1)):
        model.step.assign(step)
        expected = likelihoods.Normal(scale=scale).log_prob(params, x)
        np.testing.assert_allclose(model.log_likelihood(x, z), expected, rtol=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.log_likelihood(x, z), expected, rtol=1e-5)


def test_numpy_numbers_are_numbers():
    likelihood = likelihoods.Normal(scale=np.float32(0.5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    assert again == likelihood
    assert objectives.IWAE(num_samples=np.int64(5)) == objectives.IWAE(num_samples=5)


def test_a_condition_may_have_any_name():
    """Even "noise": the noise of `generate` travels beside the conditions."""
    z, noise = keras.Input((3,), name="z"), keras.Input((2,), name="noise")
    decoder = keras.Model([z, noise], keras.layers.Dense(6)(keras.layers.Concatenate()([z, noise])))
    encoder, _ = encoder_decoder()
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    images = model.generate(20, seed=1, noise=[0.0, 0.0])
    assert images.std(axis=0).max() > 0.05


def test_generate_is_a_pure_function_of_the_seed():
    model = vae()
    draws = model.sampling.draws.numpy()
    images = model.generate(600, seed=7)
    np.testing.assert_array_equal(images, model.generate(600, seed=7))
    np.testing.assert_allclose(images[:3], model.generate(3, seed=7), atol=1e-6)
    assert not np.allclose(images, model.generate(600, seed=8))
    assert model.sampling.draws.numpy() == draws
    by_hand = model.decode(model.prior.sample(3, seed=7)).mean()
    np.testing.assert_allclose(images[:3], by_hand, atol=1e-6)


def test_interpolation_is_a_line_in_latent_space():
    model = vae()
    a, b = data_for(model, 4), data_for(model, 8)[4:]
    images = model.interpolate(a, b, steps=5)
    assert images.shape == (4, 5, 6)
    np.testing.assert_allclose(images[:, 0], model.reconstruct(a), atol=1e-6)
    np.testing.assert_allclose(images[:, -1], model.reconstruct(b), atol=1e-6)
    middle = (model.embed(a) + model.embed(b)) / 2
    np.testing.assert_allclose(images[:, 2], model.decode(middle).mean(), atol=1e-6)


def test_another_prior_over_the_same_layers():
    model = vae()
    model.step.assign(12)
    model.sampling.draws.assign(5)
    mixture = priors.NormalMixture(3, num_components=2)
    other = model.with_prior(mixture)
    assert other.prior is mixture
    assert other.decoder is model.decoder
    assert (int(other.step.numpy()), int(other.sampling.draws.numpy())) == (12, 5)
    x = data_for(model, 4)
    np.testing.assert_array_equal(other.reconstruct(x), model.reconstruct(x))
    assert not np.allclose(other.generate(4), model.generate(4))
    with pytest.raises(ValueError, match=r"no part \['priors'\].*'prior'"):
        model.replace(priors=mixture)


def test_sampling_in_a_functional_graph(tmp_path):
    """The layer in a user's own Functional model: trained, predicted, saved, loaded."""
    x = keras.Input((6,))
    params = keras.layers.Dense(2 * 3)(x)
    z = Sampling(seed=1)(params)
    model = keras.Model(x, keras.layers.Dense(6, "sigmoid")(z))
    model.compile("adam", "binary_crossentropy")
    data = (rng.random((32, 6)) < 0.5).astype(np.float32)
    model.fit(data, data, batch_size=8, verbose=0)
    assert model.predict(data, verbose=0).shape == (32, 6)
    sampling = next(layer for layer in model.layers if isinstance(layer, Sampling))
    assert int(sampling.draws.numpy()) == 5
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_a_vae_inside_a_functional_graph():
    model = vae()
    x = keras.Input((6,))
    outer = keras.Model(x, keras.layers.Dense(1)(model(x)))
    data = data_for(model, 4)
    expected = outer.layers[-1](model.reconstruct(data))
    np.testing.assert_allclose(outer.predict(data, verbose=0), expected, atol=1e-5)


def encoder_decoder(encoder_size=6, latent_dim=3, decoder_size=6):
    x, z = keras.Input((6,), name="x"), keras.Input((latent_dim,), name="z")
    return (
        keras.Model(x, keras.layers.Dense(encoder_size)(x)),
        keras.Model(z, keras.layers.Dense(decoder_size)(z)),
    )


class OnTheSphere(priors.StandardNormal):
    support = "sphere"


@pytest.mark.parametrize(
    ("sizes", "parts", "words"),
    [
        ({"encoder_size": 5}, {}, r"Normal takes 6 parameters.*latent_dim=3.*\(None, 5\)"),
        ({"decoder_size": 7}, {}, r"Bernoulli takes parameters of shape \(6,\).*\(7,\)"),
        (
            {"latent_dim": 4},
            {"prior": priors.StandardNormal(3)},
            "size 4.*StandardNormal.*latent_dim=3",
        ),
        (
            {},
            {"likelihood": likelihoods.Bernoulli(event_rank=3)},
            r"event_rank=3.*\(6,\).*event_rank=1",
        ),
        (
            {},
            {"likelihood": likelihoods.Normal()},
            r"Normal takes parameters of shape \(12,\).*\(6,\)",
        ),
        ({}, {"prior": OnTheSphere(3)}, "Normal draws.*'real'.*OnTheSphere.*'sphere'"),
    ],
)
def test_parts_that_do_not_fit_are_refused_naming_both(sizes, parts, words):
    encoder, decoder = encoder_decoder(**sizes)
    with pytest.raises(ValueError, match=words):
        VAE(encoder, decoder, **({"likelihood": likelihoods.Bernoulli()} | parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"posterior": likelihoods.Normal()},
        {"prior": posteriors.Normal()},
        {"prior": []},
        {"objective": 0},
        {"likelihood": posteriors.Normal()},
        {"objective": "elbo"},
    ],
)
def test_parts_of_the_wrong_kind_are_refused(parts):
    with pytest.raises(TypeError, match=f"{next(iter(parts))} has to be an instance of"):
        VAE(*encoder_decoder(), **({"likelihood": likelihoods.Bernoulli()} | parts))


def test_networks_without_known_inputs_are_refused():
    encoder, decoder = encoder_decoder()
    unbuilt = keras.Sequential([keras.layers.Dense(6)])
    with pytest.raises(ValueError, match=r"encoder has no inputs yet.*keras.Input"):
        VAE(unbuilt, decoder, likelihood=likelihoods.Bernoulli())
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    nameless = keras.Model([a, b], keras.layers.Concatenate()([a, b, b]))
    with pytest.raises(ValueError, match=r"named 'z'.*\['a', 'b'\]"):
        VAE(encoder, nameless, likelihood=likelihoods.Bernoulli())
    with pytest.raises(TypeError, match=r"decoder has to be a keras\.Model"):
        VAE(encoder, lambda z: z, likelihood=likelihoods.Bernoulli())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: networks.mlp(6, 0), "latent_dim.*at least 1.*0"),
        (lambda: networks.mlp(0, 2), "input_shape.*at least 1.*0"),
        (lambda: networks.mlp((), 2), "input_shape.*Received none"),
        (lambda: networks.mlp(6, 2, hidden=(4, -1)), "hidden.*at least 1.*-1"),
        (lambda: networks.mlp(6, 2, output_mean=np.nan), "output_mean.*finite"),
        (lambda: networks.conv((784,), 2), r"\(784,\).*flat vectors.*mlp"),
        (lambda: networks.conv((3, 28, 1), 2), "at least 4 x 4.*3 x 28"),
        (lambda: networks.mlp(6, 2, output_mean=np.zeros(5)), r"output_mean.*\(6,\).*\(5,\)"),
        (lambda: priors.StandardNormal(0), "latent_dim.*StandardNormal.*at least 1"),
        (lambda: priors.NormalMixture(2, num_components=0), "num_components.*NormalMixture"),
        (lambda: objectives.ELBO(beta=-1.0), "beta.*at least 0.*-1.0"),
        (lambda: objectives.ELBO(beta=float("nan")), "beta.*ELBO.*nan"),
        (lambda: objectives.ELBO(beta=10**400), "beta.*ELBO"),
        (lambda: likelihoods.Normal(scale=1e-40), "scale.*Normal.*above 0.*1e-40"),
        (
            lambda: likelihoods.SharedScaleNormal(initial_scale=1e5),
            r"initial_scale.*9\.1e-04 and 1\.1e",
        ),
        (lambda: vae().interpolate(np.zeros((1, 6)), np.zeros((1, 6)), steps=2.5), "steps.*2.5"),
        (lambda: objectives.IWAE(num_samples=0), "num_samples.*IWAE.*0"),
        (lambda: vae().generate(0), "num_samples.*at least 1.*0"),
        (
            lambda: vae().interpolate(np.zeros((1, 6)), np.zeros((1, 6)), steps=1),
            "steps.*at least 2",
        ),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def bad(value, index=(3, 2)):
    x = np.zeros((8, 6), np.float32)
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bad(np.nan), r"1 NaN or infinite.*\(3, 2\)"),
        (bad(np.inf), r"1 NaN or infinite.*\(3, 2\)"),
        (bad(0.4), "Bernoulli is defined for 0 or 1.*0.4.*dynamic.*static.*ContinuousBernoulli"),
        (np.zeros((8, 5), np.float32), r"shape \(6,\).*\([84], 5\)"),
        (np.zeros((8, 2, 3), np.float32), r"shape \(6,\).*\([84], 2, 3\)"),
        (np.zeros((0, 6), np.float32), "empty"),
    ],
    ids=["nan", "inf", "grey", "width", "rank", "empty"],
)
@pytest.mark.parametrize(
    "wrap", [np.asarray, lambda a: tf.data.Dataset.from_tensor_slices(a).batch(4)]
)
def test_data_that_do_not_fit_are_refused_before_training(data, words, wrap):
    model = vae()
    model.compile("adam")
    before = model.get_weights()
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=words):
            use(wrap(data), verbose=0)
    with pytest.raises(ValueError, match=words):
        model.fit(data_for(model, 8), validation_data=wrap(data), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, 0.4], ids=["nan", "grey"])
def test_every_batch_of_a_data_set_is_looked_at(value):
    model = vae()
    model.compile("sgd", jit_compile=False)
    good = tf.data.Dataset.from_tensor_slices(data_for(model, 8)).batch(4)
    later = good.concatenate(tf.data.Dataset.from_tensors(bad(value)))
    for use in (model.fit, model.evaluate):
        with pytest.raises(
            ValueError, match=r"batch of the data set holds.*Bernoulli is defined for 0"
        ):
            use(later, verbose=0)
    with pytest.raises(ValueError, match="batch of the data set holds"):
        model.fit(good, validation_data=later, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_values_that_a_mask_hides_are_not_looked_at():
    model = vae()
    model.compile("adam", run_eagerly=True)
    batch = {"x": bad(np.nan), "mask": np.ones((8, 6), bool)}
    batch["mask"][3, 2] = False
    data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
    assert np.isfinite(model.fit(data, verbose=0).history["loss"][0])


def test_values_that_a_mask_hides_need_not_be_in_the_support():
    """The stand-in for them is 0, which a share is not."""
    beta = likelihoods.Beta()
    model = VAE(*encoder_decoder(decoder_size=12), likelihood=beta)
    model.compile("adam", run_eagerly=True)
    x = np.random.default_rng(0).uniform(0.1, 0.9, (8, 6)).astype(np.float32)
    batch = {"x": np.where(np.eye(8, 6), np.nan, x), "mask": 1.0 - np.eye(8, 6, dtype=np.float32)}
    data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
    assert np.isfinite(model.fit(data, verbose=0).history["loss"][0])
    assert np.isfinite(model.train_on_batch(batch, return_dict=True)["loss"])
    batch["x"][0, 1] = 0.0
    with pytest.raises(ValueError, match=r"Beta is defined for .*2\.1% .* such as 0\.0.*squeeze"):
        model.train_on_batch(batch)
    with pytest.raises(ValueError, match="Beta is defined for"):
        model.fit(data.map(lambda each: each | {"x": 0.0 * each["mask"]}), verbose=0)


def test_endless_data_need_a_length():
    model = vae()
    model.compile("adam", run_eagerly=True)
    finite = tf.data.Dataset.from_tensor_slices(data_for(model, 8)).batch(4)
    endless = finite.repeat()
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"no end.*steps_per_epoch"):
            use(endless, verbose=0)
    with pytest.raises(ValueError, match="validation_steps"):
        model.fit(finite, validation_data=endless, verbose=0)
    model.fit(endless, steps_per_epoch=3, verbose=0)
    assert int(model.step.numpy()) == 3
    assert model.predict(endless, steps=2, verbose=0).shape == (8, 6)


@pytest.mark.parametrize("chosen", [None, True, False])
def test_the_tuner_of_data_sets_is_off_unless_it_is_asked_for(chosen, monkeypatch):
    """It waits for a timer when a pass ends, which takes longer than the pass of a small data set."""
    model, seen = vae(), []
    model.compile("adam", run_eagerly=True)
    options = tf.data.Options()
    if chosen is not None:
        options.autotune.enabled = chosen
    fit = keras.Model.fit

    @functools.wraps(fit)
    def watched(self, *args, **kwargs):
        seen.append(kwargs["x"])
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", watched)
    examples = tf.data.Dataset.from_tensor_slices(data_for(model, 8)).batch(4)
    model.fit(examples.with_options(options), verbose=0)
    assert seen[0].options().autotune.enabled is bool(chosen)


def test_endless_data_are_not_trained_on_beyond_an_epoch():
    model = vae()
    model.compile("sgd", jit_compile=False, steps_per_execution=2)
    endless = tf.data.Dataset.from_tensor_slices(data_for(model, 8)).batch(4).repeat()
    with pytest.raises(ValueError, match=r"epoch of 3 steps.*steps_per_execution=2.*divides"):
        model.fit(endless, steps_per_epoch=3, verbose=0)
    model.fit(endless, steps_per_epoch=4, verbose=0)
    assert int(model.step.numpy()) == 4


def test_mixed_float16_is_saved_with_its_loss_scale(tmp_path):
    """The next epoch after loading equals the one without, loss scale and its counter included."""

    def mixed():
        keras.utils.set_random_seed(5)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = vae()
        finally:
            keras.config.set_dtype_policy(before)
        model.compile("adam", jit_compile=False)
        return model

    model = mixed()
    x = data_for(model, 32)
    model.fit(x, batch_size=8, shuffle=False, verbose=0)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded.optimizer).__name__ == "LossScaleOptimizer"
    assert {
        v.dtype for part in (model.prior, model.likelihood) for v in getattr(part, "variables", [])
    } <= {"float32"}
    for each in (model, loaded):
        each.fit(x, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_conditions_of_every_batch_are_looked_at():
    model, batch = conditional_vae(), conditional_batch(24)
    model.compile("adam", run_eagerly=True)
    batch["label"][20] = np.nan
    data = tf.data.Dataset.from_tensor_slices(batch).batch(8)
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="in x or in a condition"):
            use(data, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return len(self.x) // 4

    def __getitem__(self, index):
        return self.x[4 * index : 4 * (index + 1)]


@pytest.mark.parametrize("value", [np.nan, 0.4], ids=["nan", "grey"])
def test_whatever_batches_come_from_they_are_looked_at(value):
    model = vae()
    model.compile("adam", run_eagerly=True)
    good, spoiled = data_for(model, 8), bad(value)
    assert len(model.fit(Batches(good), epochs=2, verbose=0).history["loss"]) == 2
    assert np.isfinite(model.evaluate(Batches(good), verbose=0, return_dict=True)["loss"])
    model.fit(((batch,) for batch in good.reshape(2, 4, 6)), steps_per_epoch=2, verbose=0)
    for use in (model.fit, model.evaluate, model.predict):
        for data in (Batches(spoiled), ((batch,) for batch in spoiled.reshape(2, 4, 6))):
            with pytest.raises(ValueError, match=r"NaN or infinite|Bernoulli is defined for 0"):
                use(data, verbose=0)
    for use in (model.train_on_batch, model.test_on_batch, model.predict):
        with pytest.raises(ValueError, match=r"NaN or infinite|Bernoulli is defined for 0"):
            use(spoiled)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_what_is_no_data_is_refused():
    model = vae()
    model.compile("adam", run_eagerly=True)
    for data in (None, "mnist", (data_for(model, 4), data_for(model, 4)), data_for):
        with pytest.raises(TypeError, match=r"Expected examples as an array, a dict of arrays"):
            model.fit(data, verbose=0)
    for data, words in ((np.float32(3.0), r"shape \(6,\)"), ([object()], "have to be numbers")):
        with pytest.raises(ValueError, match=words):
            model.fit(data, verbose=0)
    x = data_for(model, 4)
    np.testing.assert_array_equal(model.embed(x.tolist()), model.embed(x))
    assert model.evaluate(x.tolist(), verbose=0) == model.evaluate(x, verbose=0)


def test_a_mask_is_yes_or_no():
    model = vae()
    model.compile("adam", run_eagerly=True)
    x = data_for(model, 8)
    for value in (0.5, np.nan):
        batch = {"x": x, "mask": np.ones((8, 6), "f")}
        batch["mask"][5] = value
        with pytest.raises(ValueError, match="0 \\(missing\\) or 1"):
            model.embed(batch)
        data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
        with pytest.raises(ValueError, match="batch of the data set"):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="'name' has dtype <U1, which is no number"):
        model.embed({"x": x, "name": np.array(["a"] * 8)})


def test_an_embedding_needs_what_the_encoder_asks_for():
    encoder, _ = encoder_decoder()
    z, label = keras.Input((3,), name="z"), keras.Input((), name="label", dtype="int32")
    style = keras.layers.Embedding(2, 4)(label)
    decoder = keras.Model([z, label], keras.layers.Dense(6)(keras.layers.Concatenate()([z, style])))
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    x = data_for(model, 4)
    assert model.embed(x).shape == (4, 3)
    with pytest.raises(ValueError, match=r"\['label'\] is missing"):
        model.reconstruct(x)
    with pytest.raises(ValueError, match=r"'label'.*fractions, and the network takes integers"):
        model.generate(2, label=1.7)
    with pytest.raises(ValueError, match=r"Every z has its own conditions.*\(5, 3\).*'label': 3"):
        model.decode(np.zeros((5, 3), "f"), {"label": np.zeros(3, int)})


def test_regularisers_are_part_of_the_loss():
    """One SGD step with a penalty that outweighs the rest, and what is reported of it."""
    x = keras.Input((6,), name="x")
    layer = keras.layers.Dense(6, kernel_regularizer=keras.regularizers.L2(50.0))
    encoder = keras.Model(x, layer(x))
    _, decoder = encoder_decoder()
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    batch, kernel = data_for(model, 8), layer.kernel.numpy()
    terms = model.evaluate(batch, verbose=0, return_dict=True)
    penalty = 50.0 * np.sum(kernel**2)
    assert terms["loss"] == pytest.approx(terms["negative_elbo"] + penalty, rel=1e-5)
    logs = model.fit(batch, batch_size=8, verbose=0).history
    assert logs["loss"][0] == pytest.approx(logs["negative_elbo"][0] + penalty, rel=1e-5)
    np.testing.assert_allclose(layer.kernel.numpy(), kernel * (1 - 0.1), atol=0.02)


def test_a_float16_step_is_a_float32_step():
    """With plain SGD a loss that is not scaled, or not scaled back, would show."""

    def stepped(policy):
        keras.utils.set_random_seed(3)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = vae()
        finally:
            keras.config.set_dtype_policy(before)
        model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        start = model.get_weights()
        model.fit(data_for(model, 8), batch_size=8, verbose=0)
        names = [w.path for w in model.weights]
        return {n: b - a for n, a, b in zip(names, start, model.get_weights(), strict=True)}

    whole, half = stepped("float32"), stepped("mixed_float16")
    moved = {n: d for n, d in whole.items() if np.abs(d).max() > 1e-3 and d.dtype == np.float32}
    assert len(moved) >= 6
    for (name, expected), received in zip(whole.items(), half.values(), strict=True):
        if name in moved:
            np.testing.assert_allclose(received, expected, rtol=0.1, atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    "objective",
    [objectives.StickingTheLanding(), objectives.DReG(num_samples=3), objectives.PIWAE()],
    ids=lambda objective: type(objective).__name__,
)
def test_gradients_by_path_are_scaled_in_float16(objective):
    """Squared errors over 1e-5 overflow it: the loss scale has to come down, and training to go on."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        narrow = likelihoods.Normal(scale=0.003)
        model = VAE(*encoder_decoder(), likelihood=narrow, objective=objective)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("adam", jit_compile=False)
    start = model.encoder.get_weights()
    losses = model.fit(data_for(model, 128), batch_size=64, epochs=20, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert any(
        np.abs(a - b).max() > 0 for a, b in zip(start, model.encoder.get_weights(), strict=True)
    )
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) > 10


def test_numbers_of_numpy_are_numbers():
    """In a graph and eagerly; what they are kept as is Python's own."""
    normal = likelihoods.Normal(scale=np.float64(0.5))
    assert type(normal.scale) is float
    vae = VAE(
        *networks.mlp(6, latent_dim=np.int64(2), hidden=np.array([4]), likelihood=normal),
        likelihood=normal,
        prior=priors.StandardNormal(np.int64(2)),
        objective=objectives.BetaTC(beta=np.float32(2.0), num_examples=np.int64(16)),
    )
    vae.compile("adam", jit_compile=False)
    assert np.isfinite(vae.fit(data_for(vae, 16), batch_size=8, verbose=0).history["loss"]).all()
    for prior in (
        priors.RealNVP(np.int64(2), num_blocks=np.int64(2), hidden=np.array([4]), seed=np.int64(1)),
        priors.NormalMixture(np.int64(2), np.int64(3), seed=np.int64(1)),
        priors.RelaxedCategorical(np.int64(4), np.int64(2), temperature=np.float64(0.5)),
    ):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
        assert again.sample(3).shape == prior.sample(3).shape == (3, prior.latent_dim)


def test_seeds_of_a_model_are_integers():
    for seed in (1.5, "3", True, 2**64, [1, 2, 3]):
        with pytest.raises(ValueError, match="Invalid seed"):
            VAE(*encoder_decoder(), likelihood=likelihoods.Bernoulli(), seed=seed)


def test_a_wide_decoder_is_given_fewer_rows_at_once(monkeypatch):
    """The rows of a pass are what the widest layer has room for; the estimate is the same."""
    model = vae()
    x = data_for(model, 10)
    assert model.widest_layer == 8
    whole = evaluation.log_likelihood(model, x, 2000, progress=False).mean
    rows, log_likelihood = [], VAE.log_likelihood

    def counted(self, batch, z, **kwargs):
        rows.append(z.shape[0] * z.shape[1])
        return log_likelihood(self, batch, z, **kwargs)

    monkeypatch.setattr(VAE, "log_likelihood", counted)
    monkeypatch.setattr("keras_vae.evaluation.likelihood._NUMBERS_PER_PASS", 8 * 40)
    few = evaluation.log_likelihood(model, x, 2000, progress=False)
    assert max(rows) <= 40
    assert abs(few.mean - whole) < 0.05
    monkeypatch.setattr("keras_vae.evaluation.likelihood._NUMBERS_PER_PASS", 8 * 3)
    rows.clear()
    assert evaluation.log_likelihood(model, x, 30, progress=False).num_examples == 10
    assert max(rows) <= 3


def test_a_conditional_decoder_says_what_is_missing():
    with pytest.raises(ValueError, match=r"asks for \['label'\].*\['label'\] is missing"):
        conditional_vae().decode(np.zeros((2, 3), "f"))


def test_sizes_may_be_numpy_integers():
    encoder, decoder = networks.mlp(np.int64(6), np.int32(2), hidden=np.int64(4))
    assert encoder.output_shape == (None, 4)
    assert decoder.output_shape == (None, 6)


def test_graph_mode_training_is_repeatable():
    """Two models of one seed, trained in graph mode: the same weights to the bit."""

    def trained():
        keras.utils.set_random_seed(3)
        model = vae()
        model.compile("adam", jit_compile=False)
        model.fit(data_for(model, 64), batch_size=8, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(a, b)


REPLICAS = """
import sys
import numpy as np, tensorflow as tf, keras
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 3
)
from conformance.rows import data_for, vae
from keras_vae import likelihoods, networks, objectives, priors

# Strategies number their collective operations from the same number on: a process has one.
alone = tf.distribute.OneDeviceStrategy("CPU:0")
together = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1", "CPU:2"])

def trained(strategy, objective, likelihood):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = vae(likelihood(), objective=objective, prior=priors.NormalMixture(3, num_components=2))
        model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    x = data_for(model, 72)
    data = tf.data.Dataset.from_tensor_slices(x).batch(12)
    logs = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    assert int(model.step.numpy()) == int(model.sampling.draws.numpy()) == 12
    return {"weights": np.concatenate([w.ravel() for w in model.get_weights()]), **logs}

def gradients(strategy, make):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = vae(objective=make())
    x, replicas = data_for(model, 12), strategy.num_replicas_in_sync

    def of_replica(rows):
        with tf.GradientTape() as tape:
            loss = model.objective(model, rows, training=True)["loss"] / replicas
        found = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return tf.distribute.get_replica_context().all_reduce("SUM", found)

    parts = [tf.constant(part) for part in np.split(x, replicas)]
    given = strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    run = lambda rows: strategy.run(of_replica, args=(rows,))
    summed = (run if replicas == 1 else tf.function(run))(given)
    return [np.asarray(strategy.experimental_local_results(each)[0]) for each in summed]

for parts in (
    (objectives.ELBO(), likelihoods.Bernoulli),
    (objectives.IWAE(num_samples=4), likelihoods.OptimalNormal),
):
    one, three = trained(alone, *parts), trained(together, *parts)
    for name, value in one.items():
        np.testing.assert_allclose(three[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
for make in (
    objectives.DIPVAE,
    lambda: objectives.InfoVAE(scale=5.0),
    lambda: objectives.Capacity(gamma=5.0, capacity=0.1),
    lambda: objectives.ELBO(free_bits=0.05),
    lambda: objectives.BetaTC(num_examples=72),
    lambda: objectives.FactorVAE(networks.discriminator(3, hidden=4)),
):
    for one, three in zip(gradients(alone, make), gradients(together, make), strict=True):
        np.testing.assert_allclose(three, one, rtol=2e-4, atol=2e-5, err_msg=str(make()))
print("equal")
"""


def test_replicas_train_as_one():
    """Plain SGD, whose step shows a factor of N: the same weights and the same reported terms."""
    result = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip().endswith("equal")
