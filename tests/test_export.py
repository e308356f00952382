"""What is exported gives what the live model gives, in every consumer; what cannot be is refused."""

import contextlib
import importlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conformance.rows import EVENT_SIZE, LATENT_DIM, ROWS, data_for, vae

import keras_vae
from keras_vae import VAE, likelihoods, networks, posteriors, priors
from keras_vae._parts import Configurable, value_object
from keras_vae.export import (
    LiteRTDecoder,
    ParityError,
    endpoints,
    export,
    parity,
    saved_model,
    tflite,
)
from keras_vae.export.tflite import custom_ops
from keras_vae.sampling import as_seed

tfd, tfb = tfp.distributions, tfp.bijectors

SIGNATURES = {
    "encode": (["x"], ["location", "stddev"]),
    "decode": (["z"], ["mean"]),
    "reconstruct": (["x"], ["mean"]),
    "generate": (["num_samples", "seed"], ["mean"]),
    "serving_default": (["x"], ["mean"]),
}
SEEDS = (0, 7, -1, 2**40 + 3, (1, -2))


def latents(num_latents, seed=0):
    return np.random.default_rng(seed).normal(size=(num_latents, LATENT_DIM)).astype(np.float32)


def content_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def conv():
    likelihood = likelihoods.Bernoulli(event_rank=3)
    encoder, decoder = networks.conv(
        (6, 6, 1), LATENT_DIM, filters=(4, 8), units=8, likelihood=likelihood
    )
    return VAE(encoder, decoder, likelihood=likelihood)


def conditional():
    """Encoder and decoder are given a category number, the decoder a vector too."""
    dense, concatenate = keras.layers.Dense, keras.layers.Concatenate()
    x, label = keras.Input((EVENT_SIZE,), name="x"), keras.Input((), name="label", dtype="int32")
    h = concatenate([x, keras.layers.Embedding(5, 4)(label)])
    encoder = keras.Model([x, label], dense(2 * LATENT_DIM)(h))
    z, style = keras.Input((LATENT_DIM,), name="z"), keras.Input((2,), name="style")
    label = keras.Input((), name="label", dtype="int32")
    h = concatenate([z, style, keras.layers.Embedding(5, 4)(label)])
    decoder = keras.Model({"z": z, "label": label, "style": style}, dense(EVENT_SIZE)(h))
    return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())


def with_layer(layer):
    """A model whose decoder has `layer` in it."""
    z = keras.Input((LATENT_DIM,), name="z")
    decoder = keras.Model(z, keras.layers.Dense(EVENT_SIZE)(layer(z)))
    return VAE(vae().encoder, decoder, likelihood=likelihoods.Bernoulli())


@keras.saving.register_keras_serializable(package="test_export")
class KerasNoise(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1)

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seed_generator)


@keras.saving.register_keras_serializable(package="test_export")
class LoopedNoise(keras.layers.Layer):
    """Draws inside a function of its own: the body of a loop."""

    def call(self, inputs):
        def body(step, h):
            return step + 1, h + tf.random.stateless_normal(tf.shape(h), [1, 2])

        return tf.while_loop(lambda step, h: step < 2, body, (0, inputs))[1]


@keras.saving.register_keras_serializable(package="test_export")
class Digamma(keras.layers.Layer):
    def call(self, inputs):
        return tf.math.digamma(tf.exp(inputs))


@keras.saving.register_keras_serializable(package="test_export")
class LogGamma(keras.layers.Layer):
    """The converter takes it, and LiteRT cannot run what becomes of it for any batch size."""

    def call(self, inputs):
        return tf.math.lgamma(inputs)


@value_object
class Squashed(posteriors.Posterior, Configurable):
    """A transformed distribution, which does not know its standard deviation."""

    def params_size(self, latent_dim):
        return latent_dim

    def distribution(self, params):
        base = tfd.Independent(tfd.Normal(params, 1.0), 1)
        return tfd.TransformedDistribution(base, tfb.Tanh())

    def location(self, params):
        return tf.tanh(params)

    def noise_size(self, latent_dim):
        return latent_dim

    def transform(self, params, noise):
        return tf.tanh(params + noise)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A trained model and the folder it was exported to."""
    keras.utils.set_random_seed(0)
    model = vae(prior=priors.NormalMixture(LATENT_DIM, num_components=4))
    model.compile("adam")
    model.fit(data_for(model, 8), batch_size=4, verbose=0)
    folder = tmp_path_factory.mktemp("exported") / "export"
    export(model, folder)
    return model, folder


# Numbers.


@pytest.mark.parametrize(
    "make",
    [
        *(
            pytest.param(ROWS[getattr(likelihoods, name)], id=name)
            for name in likelihoods.__all__
            if getattr(likelihoods, name) in ROWS
        ),
        pytest.param(conv, id="conv"),
    ],
)
def test_all_consumers_agree_with_the_live_model(make, tmp_path):
    model = make()
    measured = export(model, tmp_path / "export")
    assert {(row.consumer, row.signature) for row in measured.rows} == {
        ("SavedModel", "decode"),
        ("SavedModel", "generate"),
        ("LiteRT", "decode"),
    }
    assert all(row.largest_difference <= 1e-5 for row in measured.rows)
    assert custom_ops((tmp_path / "export/decoder.tflite").read_bytes()) == []


def test_saved_model_signatures_for_any_batch_size(exported):
    model, folder = exported
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    for name, (inputs, outputs) in SIGNATURES.items():
        signature = loaded.signatures[name]
        assert sorted(signature.structured_input_signature[1]) == inputs
        assert sorted(signature.structured_outputs) == outputs
        assert {spec.dtype for spec in signature.structured_outputs.values()} == {tf.float32}
    for size in (1, 5):
        x, z = data_for(model, size), latents(size)
        encoded = loaded.signatures["encode"](x=tf.constant(x))
        q, _ = model.infer(x)
        for name, value in {"location": model.embed(x), "stddev": q.stddev()}.items():
            np.testing.assert_allclose(encoded[name], value, atol=1e-6)
        for name in ("reconstruct", "serving_default"):
            mean = loaded.signatures[name](x=tf.constant(x))["mean"]
            np.testing.assert_allclose(mean, model.reconstruct(x), atol=1e-6)
        mean = loaded.signatures["decode"](z=tf.constant(z))["mean"]
        np.testing.assert_allclose(mean, model.decode(z).mean(), atol=1e-6)


@pytest.mark.parametrize("prior", [priors.StandardNormal, priors.NormalMixture])
def test_saved_model_generates_what_the_model_generates(prior, tmp_path):
    model = vae(prior=prior(LATENT_DIM))
    loaded = tf.saved_model.load(str(saved_model(model, tmp_path / "saved")))
    for seed in SEEDS:
        for size in (1, 5, 17):
            mean = loaded.signatures["generate"](num_samples=tf.constant(size), seed=as_seed(seed))
            np.testing.assert_allclose(mean["mean"], model.generate(size, seed), atol=1e-6)


def test_conditions_are_further_inputs(tmp_path):
    model = conditional()
    export(model, tmp_path / "export", conditions={"label": 3})
    signatures = tf.saved_model.load(str(tmp_path / "export/saved_model")).signatures
    inputs = {
        name: {k: spec.dtype for k, spec in signatures[name].structured_input_signature[1].items()}
        for name in ("encode", "decode", "reconstruct")
    }
    label, style = {"label": tf.int32}, {"style": tf.float32}
    assert inputs == {
        "encode": {"x": tf.float32} | label,
        "decode": {"z": tf.float32} | label | style,
        "reconstruct": {"x": tf.float32} | label | style,
    }
    z, conditions = latents(6), {"label": np.arange(6) % 5, "style": latents(6, 1)[:, :2]}
    expected = model.decode(z, conditions).mean()
    decode = LiteRTDecoder(tmp_path / "export/decoder.tflite")
    np.testing.assert_allclose(decode(z, **conditions), expected, atol=1e-6)
    assert np.ptp(decode(z[:1].repeat(5, 0), label=np.arange(5), style=np.zeros((5, 2))), 0).any()
    with pytest.raises(ValueError, match=r"takes the inputs \['label', 'style', 'z'\].*\['z'\]"):
        decode(z)
    with pytest.raises(ValueError, match=r"asks for the conditions \['label', 'style'\].*colour"):
        parity(model, tmp_path / "export/saved_model", conditions={"colour": 1})


def test_a_posterior_without_a_standard_deviation(tmp_path):
    model = vae(posterior=Squashed())
    encoded = endpoints(model, ["encode"])["encode"](x=tf.constant(data_for(model, 4)))
    assert list(encoded) == ["location"]
    np.testing.assert_allclose(encoded["location"], model.embed(data_for(model, 4)), atol=1e-6)


def test_mixed_precision_is_served_in_float32_but_not_by_litert(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vae()
    finally:
        keras.config.set_dtype_policy("float32")
    path = saved_model(model, tmp_path / "saved")
    decoded = tf.saved_model.load(str(path)).signatures["decode"](z=tf.constant(latents(4)))
    assert decoded["mean"].dtype == tf.float32
    assert parity(model, path).rows[0].largest_difference <= 1e-6
    with pytest.raises(ValueError, match=r"'decode' computes in bfloat16 .* policy 'float32'"):
        tflite(model, tmp_path / "decoder.tflite")
    assert not (tmp_path / "decoder.tflite").exists()


# Consumers.


def test_every_signature_runs_in_a_session(exported):
    model, folder = exported
    x, z = data_for(model, 3), latents(3)
    given = {"x": x, "z": z, "num_samples": 4, "seed": [7, 0]}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder / "saved_model"))
        received = {}
        for name in SIGNATURES:
            signature = meta.signature_def[name]
            feed = {info.name: given[key] for key, info in signature.inputs.items()}
            fetch = {key: info.name for key, info in signature.outputs.items()}
            received[name] = session.run(fetch, feed)
    np.testing.assert_allclose(received["decode"]["mean"], model.decode(z).mean(), atol=1e-6)
    np.testing.assert_allclose(received["generate"]["mean"], model.generate(4, 7), atol=1e-6)
    np.testing.assert_allclose(received["reconstruct"]["mean"], model.reconstruct(x), atol=1e-6)
    np.testing.assert_allclose(received["encode"]["location"], model.embed(x), atol=1e-6)


def test_saved_model_cli_runs_it(exported, tmp_path):
    model, folder = exported
    np.save(tmp_path / "z.npy", latents(3))
    given = {
        "decode": ["--inputs", f"z={tmp_path / 'z.npy'}"],
        "generate": ["--input_exprs", "num_samples=4;seed=[7,0]"],
    }
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run", "--dir"]
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                subprocess.Popen(
                    [
                        *command,
                        folder / "saved_model",
                        "--tag_set",
                        "serve",
                        "--signature_def",
                        name,
                        *inputs,
                        "--outdir",
                        tmp_path / name,
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            for name, inputs in given.items()
        ]
        outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(outputs)
    mean = np.load(tmp_path / "decode/mean.npy")
    np.testing.assert_allclose(mean, model.decode(latents(3)).mean(), atol=1e-6)
    mean = np.load(tmp_path / "generate/mean.npy")
    np.testing.assert_allclose(mean, model.generate(4, 7), atol=1e-6)


def test_each_weight_is_stored_once_and_nothing_else_is(exported):
    model, folder = exported
    variables = folder / "saved_model/variables"
    shapes = tf.train.load_checkpoint(str(variables / "variables")).get_variable_to_shape_map()
    shapes.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    weights = [*model.encoder.weights, *model.decoder.weights, *model.prior.weights]
    assert sorted(shapes.values()) == sorted(list(weight.shape) for weight in weights)
    size = sum(file.stat().st_size for file in variables.iterdir())
    assert size < 4 * sum(np.prod(weight.shape) for weight in weights) + 6000


def test_litert_decoder_runs_any_number_of_latents(exported, tmp_path):
    model, folder = exported
    decode = LiteRTDecoder(folder / "decoder.tflite")
    fixed = LiteRTDecoder(tflite(model, tmp_path / "fixed.tflite", batch_size=4))
    assert (decode.latent_dim, decode.batch_size, fixed.batch_size) == (LATENT_DIM, None, 4)
    for size in (1, 4, 10):
        expected = model.decode(latents(size)).mean()
        np.testing.assert_allclose(decode(latents(size)), expected, atol=1e-6)
        np.testing.assert_allclose(fixed(latents(size)), expected, atol=1e-6)


def test_litert_decoder_says_what_it_cannot_run(exported, tmp_path):
    _, folder = exported
    content = (folder / "decoder.tflite").read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 4):
        (tmp_path / "cut.tflite").write_bytes(content[:size])
        with pytest.raises(ValueError, match=rf"cut.tflite is not a LiteRT file.*\({size} bytes\)"):
            LiteRTDecoder(tmp_path / "cut.tflite")
    with pytest.raises(FileNotFoundError):
        LiteRTDecoder(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match=r"no signature 'decode'. Its signatures: \['encode'\]"):
        LiteRTDecoder(content.replace(b"decode", b"encode"))
    decode = LiteRTDecoder(content)
    with pytest.raises(ValueError, match=r"'z' .* shape \('N', 3\) .* Received shape \(2, 5\)"):
        decode(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"Received shape \(0, 3\)"):
        decode(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="'z' holds 1 NaN"):
        decode([[0.0, np.nan, 0.0]])


# Refusals.


@pytest.mark.parametrize(
    ("layer", "op"), [(KerasNoise, "StatelessRandomNormalV2"), (LoopedNoise, "StatelessRandom")]
)
def test_a_decoder_that_draws_is_refused(layer, op, exported, tmp_path):
    model = with_layer(layer(name="noisy"))
    _, folder = exported
    before = content_of(folder)
    message = rf"signature 'decode' draws random numbers.*{op}\w* at '[^']*noisy"
    for write in (
        lambda: saved_model(model, folder / "saved_model"),
        lambda: tflite(model, folder / "decoder.tflite"),
        lambda: export(model, folder, overwrite=True),
    ):
        with pytest.raises(ValueError, match=message):
            write()
    assert content_of(folder) == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["export"]


def test_an_op_that_litert_has_no_builtin_for_is_refused_by_name(tmp_path):
    model = with_layer(Digamma())
    with pytest.raises(ValueError, match=r"no built-in op for tf\.Digamma at .*Digamma"):
        tflite(model, tmp_path / "decoder.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_litert_cannot_run_is_refused(tmp_path):
    model = with_layer(LogGamma())
    with pytest.raises(ValueError, match=r"converted, but LiteRT cannot run .* `batch_size`"):
        tflite(model, tmp_path / "decoder.tflite")
    assert list(tmp_path.iterdir()) == []
    path = tflite(model, tmp_path / "decoder.tflite", batch_size=4)
    parity(model, tflite=path, num_latents=10)


def test_ops_of_tensorflow_are_found_in_a_file():
    function = tf.function(lambda z: {"mean": z + tf.random.stateless_normal([2, 3], [1, 2])})
    concrete = function.get_concrete_function(tf.TensorSpec((2, 3), tf.float32, "z"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    assert "FlexStatelessRandomNormalV2" in custom_ops(converter.convert())


@pytest.mark.parametrize("name", ["my label", "seed"])
def test_conditions_that_cannot_be_served_under_their_names(name):
    z, other = keras.Input((LATENT_DIM,), name="z"), keras.Input((2,), name=name)
    h = keras.layers.Concatenate()([z, other])
    decoder = keras.Model([z, other], keras.layers.Dense(EVENT_SIZE)(h))
    model = VAE(vae().encoder, decoder, likelihood=likelihoods.Bernoulli())
    with pytest.raises(ValueError, match=rf"'{name}' cannot be served .* Rename that keras.Input"):
        endpoints(model)


def test_unknown_endpoints_are_named():
    with pytest.raises(ValueError, match=r"no endpoint \['dekode'\].*'decode'"):
        endpoints(vae(), ["dekode"])


# Parity.


def test_parity_fails_when_a_weight_has_changed_since(exported):
    model, folder = exported
    files = folder / "saved_model", folder / "decoder.tflite"
    assert "LiteRT      decode" in str(parity(model, *files))
    bias = model.decoder.weights[-1]
    bias.assign_add(keras.ops.ones(bias.shape) * 1e-3)
    try:
        with pytest.raises(ParityError, match="SavedModel decode, SavedModel generate, LiteRT"):
            parity(model, *files)
        assert len(parity(model, *files, budget=1e-2).rows) == 3
        bias.assign_add(keras.ops.ones(bias.shape) * np.nan)
        with pytest.raises(ParityError, match=r"LiteRT .* nan") as caught:
            parity(model, *files, budget=1e9)
        assert len(caught.value.parity.failures) == 3
    finally:
        bias.assign(keras.ops.zeros(bias.shape))


def test_parity_names_what_is_of_another_model(exported):
    _, folder = exported
    other = VAE(*networks.mlp(EVENT_SIZE, 5, hidden=8), likelihood=likelihoods.Bernoulli())
    with pytest.raises(
        ValueError, match=r"another model: its decode takes .*\(None, 3\).*\(64, 5\)"
    ):
        parity(other, folder / "saved_model")
    with pytest.raises(ValueError, match=r"shape \('N', 3\) .* Received shape \(64, 5\)"):
        parity(other, tflite=folder / "decoder.tflite")
    wider = VAE(*networks.mlp(9, LATENT_DIM, hidden=8), likelihood=likelihoods.Bernoulli())
    with pytest.raises(ValueError, match=r"LiteRT is of another model.*\(64, 6\).*\(64, 9\)"):
        parity(wider, tflite=folder / "decoder.tflite")
    with pytest.raises(ValueError, match="nothing to compare"):
        parity(wider)


# Files.


def test_a_failed_export_leaves_the_earlier_one_or_nothing(exported, tmp_path):
    model, folder = exported
    before = content_of(folder)
    with pytest.raises(FileExistsError, match="earlier result"):
        export(model, folder)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(ParityError):
            export(model, target, overwrite=True, budget=-1.0)
    assert content_of(folder) == before
    assert list(tmp_path.iterdir()) == []


def test_the_config_says_what_was_measured(exported):
    _, folder = exported
    config = json.loads((folder / "config.json").read_text())
    assert config["keras_vae"] == {"kind": "export", "format": 1}
    assert [row["consumer"] for row in config["parity"]["rows"]] == ["SavedModel"] * 2 + ["LiteRT"]
    assert set(config["versions"]) >= {"keras-vae", "tensorflow", "ai-edge-litert"}


def test_foreign_files_are_left_alone(tmp_path):
    model = vae()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text('{"keras_vae": {"kind": "run", "format": 1}}')
    before = content_of(tmp_path)
    for path in (tmp_path, tmp_path / "run", tmp_path / "notes.txt"):
        with pytest.raises(FileExistsError, match="is not a SavedModel"):
            saved_model(model, path)
    with pytest.raises(IsADirectoryError):
        tflite(model, tmp_path / "run")
    with pytest.raises(FileExistsError, match="did not write"):
        export(model, tmp_path, overwrite=True)
    with pytest.raises(FileExistsError, match="another result of keras-vae"):
        export(model, tmp_path / "run", overwrite=True)
    with pytest.raises(NotADirectoryError):
        export(model, tmp_path / "notes.txt", overwrite=True)
    assert content_of(tmp_path) == before


def test_a_saved_model_takes_the_place_of_an_earlier_one(tmp_path):
    (tmp_path / "saved").mkdir()
    model = vae()
    for size in (1, 2):
        path = saved_model(model, tmp_path / "saved")
        model.decoder.weights[-1].assign_add(keras.ops.ones(EVENT_SIZE) * size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved"]
    with pytest.raises(ParityError):
        parity(model, path)


def test_litert_is_imported_only_when_it_is_used(monkeypatch):
    monkeypatch.setattr(keras_vae, "export", keras_vae.export)
    for name in [name for name in sys.modules if name.startswith("keras_vae.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    module = importlib.import_module("keras_vae.export")
    with pytest.raises(ImportError):
        module.LiteRTDecoder(b"")
