"""Every public class x config, .keras file, resume, batch sizes, XLA, steps_per_execution, mixed
precision.

Each class trains once under XLA. What does not ask for a graph runs without one: a step eagerly costs
milliseconds, its trace and compilation cost seconds.
"""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vae
from conformance.rows import ROWS, data_for
from keras_vae import likelihoods, models, objectives, posteriors, priors, sampling

every_class = pytest.mark.parametrize(
    "cls", list(ROWS), ids=lambda c: f"{c.__module__}.{c.__name__}"
)


def make(cls):
    keras.utils.set_random_seed(0)
    return ROWS[cls]()


def part_of(model, cls):
    """The instance of `cls` in the model: the model itself, a part, or its sampling layer."""
    candidates = [model, model.sampling, *(getattr(model, part) for part in model.parts)]
    return next(part for part in candidates if type(part) is cls)


def states(model):
    return [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_public_class_has_a_row():
    modules = (keras_vae, models, objectives, posteriors, priors, likelihoods, sampling)
    public = {
        value
        for module in modules
        for name in module.__all__
        if inspect.isclass(value := getattr(module, name)) and not inspect.isabstract(value)
    }
    assert public - {likelihoods.Block, likelihoods.Column, objectives.Cyclical} == set(
        ROWS
    )  # what parts are made of


@every_class
def test_config_round_trip(cls):
    config = json.dumps(keras.saving.serialize_keras_object(part_of(make(cls), cls)))
    again = keras.saving.deserialize_keras_object(json.loads(config))
    assert type(again) is cls
    assert json.dumps(keras.saving.serialize_keras_object(again)) == config


def fit(model, x, batch_size=4, **options):
    return model.fit(x, batch_size=batch_size, shuffle=False, verbose=0, **options).history


@every_class
def test_a_keras_file_gives_the_same_model_which_goes_on_as_if_never_saved(cls, tmp_path):
    """Weights, optimiser, step, draws and reported terms, to the bit."""
    model = make(cls)
    x = data_for(model, 24)
    model.compile("adam", run_eagerly=True)
    fit(model, x, batch_size=12)
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    assert_same(states(loaded), states(model))
    asked = {name: np.arange(5) % num for name, num in model.labels.items()}
    np.testing.assert_array_equal(
        loaded.generate(5, seed=1, **asked), model.generate(5, seed=1, **asked)
    )
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    assert loaded.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)
    assert fit(loaded, x, batch_size=12) == fit(model, x, batch_size=12)
    assert_same(states(loaded), states(model))
    assert int(loaded.step.numpy()) == 4
    assert int(loaded.sampling.draws.numpy()) >= 4


@every_class
def test_what_is_frozen_is_so_after_loading(cls, tmp_path):
    model = make(cls)
    for part in ("prior", "decoder"):
        if isinstance(getattr(model, part), keras.Layer):
            getattr(model, part).trainable = False
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    trained = [[v.path for v in of.trainable_variables] for of in (loaded, model)]
    assert len(trained[0]) == len(trained[1])
    assert loaded.prior.trainable is model.prior.trainable


@pytest.mark.parametrize("jit_compile", [True, False])
def test_compiled_training_goes_on_after_loading_to_the_bit(jit_compile, tmp_path):
    model = make(keras_vae.VAE)
    x = data_for(model, 24)
    model.compile("adam", jit_compile=jit_compile, steps_per_execution=3)
    fit(model, x)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.jit_compile is jit_compile
    assert loaded.steps_per_execution == 3
    assert fit(loaded, x) == fit(model, x)
    assert_same(states(loaded), states(model))


@every_class
def test_trains_under_xla(cls):
    model = make(cls)
    x = data_for(model, 24)
    model.compile("sgd", jit_compile=True, steps_per_execution=3)
    before = model.get_weights()
    assert np.isfinite(list(fit(model, x).values())).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert int(model.step.numpy()) == 6
    assert int(model.sampling.draws.numpy()) >= 6


@every_class
def test_eager_graph_and_any_batch_size_agree(cls):
    model = make(cls)
    x = data_for(model, 7)
    spec = tf.nest.map_structure(lambda a: tf.TensorSpec([None, *a.shape[1:]], a.dtype), x)
    reconstruct = tf.function(model.call, input_signature=[spec])
    expected = model.reconstruct(x)
    for size in (1, 3, 7):
        first = tf.nest.map_structure(lambda a, size=size: a[:size], x)
        np.testing.assert_allclose(reconstruct(first), expected[:size], atol=1e-5)
    model.compile("sgd", run_eagerly=True)
    eager = model.evaluate(x, verbose=0)
    model.compile("sgd", run_eagerly=False, jit_compile=False)
    np.testing.assert_allclose(model.evaluate(x, verbose=0), eager, rtol=1e-4)


def make_mixed(cls, policy):
    keras.config.set_dtype_policy(policy)
    try:
        return make(cls)
    finally:
        keras.config.set_dtype_policy("float32")


mixed_policies = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])


@every_class
@mixed_policies
def test_mixed_precision_networks_with_float32_densities(cls, policy):
    model = make_mixed(cls, policy)
    x = data_for(model, 8)
    model.compile("adam", run_eagerly=True)
    assert model.encode(x).dtype == policy.removeprefix("mixed_")
    q, z = model.infer(x)
    np.testing.assert_allclose(model.predict(x, verbose=0), model.reconstruct(x), atol=1e-2)
    assert q.dtype == z.dtype == model.log_likelihood(x, z).dtype == tf.float32
    before = model.encoder.get_weights()
    assert np.isfinite(list(fit(model, x, epochs=3).values())).all()
    assert any((a != b).any() for a, b in zip(before, model.encoder.get_weights(), strict=True))


@mixed_policies
def test_mixed_precision_under_xla(policy):
    model = make_mixed(keras_vae.VAE, policy)
    x = data_for(model, 24)
    model.compile("adam", jit_compile=True, steps_per_execution=3)
    before = model.encoder.get_weights()
    assert np.isfinite(list(fit(model, x).values())).all()
    assert any((a != b).any() for a, b in zip(before, model.encoder.get_weights(), strict=True))


@every_class
def test_every_trainable_weight_gets_a_gradient(cls):
    model = make(cls)
    with tf.GradientTape() as tape:
        loss = model.now(model.objective)(model, data_for(model, 16), training=True)["loss"]
    variables = [v.value for v in model.trainable_variables]
    gradients = tape.gradient(loss, variables)
    missing = [
        v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None
    ]
    assert not missing


@every_class
def test_objective_names_its_terms(cls):
    model = make(cls)
    x = data_for(model, 8)
    terms = model.now(model.objective)(model, x)
    assert tuple(terms) == model.objective.terms
    assert terms[model.objective.monitor].shape == ()
    model.compile("sgd", run_eagerly=True)
    assert set(model.test_on_batch(x, return_dict=True)) == set(model.objective.terms)
