"""What is exported gives what the live model gives, in every consumer; what cannot be is refused."""

import contextlib
import importlib
import json
import shutil
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
    Budget,
    ParityError,
    ParityRow,
    Reference,
    check,
    endpoints,
    export,
    load,
    metadata,
    onnx,
    parity,
    quantization_cost,
    saved_model,
    tflite,
)
from keras_vae.export.endpoints import trace
from keras_vae.export.tflite import convert, custom_ops
from keras_vae.noise import as_seed, normals

tfd, tfb = tfp.distributions, tfp.bijectors

SIGNATURES = {
    "encode": (["x"], ["location", "stddev"]),
    "decode": (["z"], ["mean"]),
    "reconstruct": (["x"], ["mean"]),
    "generate": (["num_samples", "seed"], ["mean"]),
    "score": (["seed", "x"], ["distortion", "elbo", "rate"]),
    "serving_default": (["x"], ["mean"]),
}
FILES = {
    "saved_model": set(SIGNATURES),
    "model.tflite": {"decode", "encode", "generate"},
    "onnx": {"decode", "encode", "reconstruct", "generate"},
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
    model.compile("adam", run_eagerly=True)
    model.fit(data_for(model, 8), batch_size=4, verbose=0)
    folder = tmp_path_factory.mktemp("exported") / "export"
    export(model, folder, formats=("saved_model", "tflite", "onnx"))
    return model, folder


# Numbers.


@pytest.mark.parametrize("make", [conv, ROWS[likelihoods.Mixed]], ids=["conv", "Mixed"])
def test_all_runtimes_agree_with_the_live_model(make, tmp_path):
    measured = export(make(), tmp_path / "export", formats=("saved_model", "tflite", "onnx"))
    assert_close(measured, FILES)
    assert custom_ops((tmp_path / "export/model.tflite").read_bytes()) == []


@pytest.mark.parametrize(
    "name", [name for name in likelihoods.__all__ if getattr(likelihoods, name) in ROWS]
)
def test_all_runtimes_show_every_likelihood_as_the_live_model_does(name, tmp_path):
    """`generate` and `reconstruct` end in what `decode` is; `encode` knows no likelihood."""
    model, paths = ROWS[getattr(likelihoods, name)](), [tmp_path / file for file in FILES]
    saved_model(model, paths[0])
    tflite(model, paths[1], signatures=["decode"])
    onnx(model, paths[2], ["decode"])
    decoding = {"model.tflite": {"decode"}, "onnx": {"decode"}}
    assert_close(parity(model, *paths), FILES | decoding)
    assert custom_ops(paths[1].read_bytes()) == []


def assert_close(measured, files):
    received: dict[str, set[str]] = {}
    for row in measured.rows:
        received.setdefault(row.file, set()).add(row.signature)
        assert row.largest_difference <= 1e-5
        assert row.mean_difference <= row.largest_difference
        assert row.size > 1000
        assert row.latency > 0
    assert received == files


def test_saved_model_signatures_for_any_batch_size(exported):
    model, folder = exported
    loaded = tf.saved_model.load(str(folder / "saved_model/1"))
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


def test_a_score_is_the_elbo_of_its_draw(exported):
    """Distortion and rate at the z that the seed draws, by TFP's own classes; on average the ELBO."""
    model, folder = exported
    score = tf.saved_model.load(str(folder / "saved_model/1")).signatures["score"]
    x, seed = data_for(model, 5), as_seed(3)
    terms = score(x=tf.constant(x), seed=seed)
    q, _ = model.infer(x)
    z = q.mean() + q.stddev() * normals(seed, 5, LATENT_DIM)
    logits = model.decode(z).distribution.logits
    distortion = -np.sum(tfd.Bernoulli(logits).log_prob(x), axis=1)
    rate = q.log_prob(z) - model.prior.distribution().log_prob(z)
    np.testing.assert_allclose(terms["distortion"], distortion, rtol=1e-5)
    np.testing.assert_allclose(terms["rate"], rate, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(terms["elbo"], -(distortion + rate), rtol=1e-5)
    again = score(x=tf.constant(x), seed=seed)
    np.testing.assert_array_equal(terms["elbo"], again["elbo"])
    many = score(x=tf.constant(np.tile(x, (4000, 1))), seed=seed)
    model.compile("adam", run_eagerly=True)
    found = model.evaluate(np.tile(x, (4000, 1)), batch_size=5000, verbose=0, return_dict=True)
    assert np.mean(many["elbo"]) == pytest.approx(-found["negative_elbo"], abs=0.02)


@pytest.mark.parametrize(
    "likelihood",
    [
        likelihoods.Normal(),
        likelihoods.Laplace(scale=0.5),
        likelihoods.StudentT(df=3.0),
        likelihoods.SharedScaleNormal(),
        likelihoods.NegativeBinomial(),
    ],
    ids=lambda likelihood: type(likelihood).__name__,
)
def test_a_likelihood_with_a_scale_serves_its_standard_deviation(likelihood):
    model = vae(likelihood)
    z = latents(4)
    decoded = endpoints(model, ["decode"])["decode"](z=tf.constant(z))
    assert set(decoded) == {"mean", "stddev"}
    np.testing.assert_allclose(decoded["stddev"], model.decode(z).stddev(), rtol=1e-6)
    np.testing.assert_allclose(decoded["mean"], model.decode(z).mean(), rtol=1e-6)
    heavy = vae(likelihoods.StudentT(df=1.5))
    assert set(endpoints(heavy, ["decode"])["decode"](z=tf.constant(z))) == {"mean"}


@pytest.mark.parametrize("prior", [priors.StandardNormal, priors.NormalMixture])
def test_saved_model_generates_what_the_model_generates(prior, tmp_path):
    model = vae(prior=prior(LATENT_DIM))
    path = saved_model(model, tmp_path / "saved", version=12)
    assert path == tmp_path / "saved/12"
    loaded = tf.saved_model.load(str(path))
    for seed in SEEDS:
        for size in (1, 5, 17):
            mean = loaded.signatures["generate"](num_samples=tf.constant(size), seed=as_seed(seed))
            np.testing.assert_allclose(mean["mean"], model.generate(size, seed), atol=1e-6)


def test_conditions_are_further_inputs(tmp_path):
    model = conditional()
    export(model, tmp_path / "export", conditions={"label": 3})
    signatures = tf.saved_model.load(str(tmp_path / "export/saved_model/1")).signatures
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
    file = load(tmp_path / "export/model.tflite")
    np.testing.assert_allclose(file("decode", z=z, **conditions)["mean"], expected, atol=1e-6)
    styles = {"label": np.arange(5), "style": np.zeros((5, 2))}
    assert np.ptp(file("decode", z=z[:1].repeat(5, 0), **styles)["mean"], 0).any()
    sides = {"label": np.arange(16) % 5, "style": latents(16, 2)[:, :2]}
    generated = file("generate", seed=[7, 0], **sides)["mean"]
    np.testing.assert_allclose(generated, model.generate(16, 7, **sides), atol=1e-6)
    with pytest.raises(ValueError, match=r"takes the inputs \['label', 'style', 'z'\].*\['z'\]"):
        file("decode", z=z)
    with pytest.raises(ValueError, match=r"same number of rows.*\[2, 6, 6\]"):
        file("decode", z=z, label=conditions["label"][:2], style=conditions["style"])
    with pytest.raises(ValueError, match=r"ask for \['label', 'style'\].*colour"):
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
        tflite(model, tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()


# Consumers.


def test_every_signature_runs_in_a_session(exported):
    model, folder = exported
    x, z = data_for(model, 3), latents(3)
    given = {"x": x, "z": z, "num_samples": 4, "seed": [7, 0]}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(
            session, ["serve"], str(folder / "saved_model/1")
        )
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
                        folder / "saved_model/1",
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
    variables = folder / "saved_model/1/variables"
    shapes = tf.train.load_checkpoint(str(variables / "variables")).get_variable_to_shape_map()
    shapes.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    weights = [*model.encoder.weights, *model.decoder.weights, *model.prior.weights]
    assert sorted(shapes.values()) == sorted(list(weight.shape) for weight in weights)
    size = sum(file.stat().st_size for file in variables.iterdir())
    assert size < 4 * sum(np.prod(weight.shape) for weight in weights) + 6000


def test_warm_up_requests_are_what_the_signatures_take(exported):
    """Read with the protos of TensorFlow Serving, and run."""
    from tensorflow_serving.apis import prediction_log_pb2

    _, folder = exported
    signatures = tf.saved_model.load(str(folder / "saved_model/1")).signatures
    path = folder / "saved_model/1/assets.extra/tf_serving_warmup_requests"
    requests = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "vae"
        requests[request.model_spec.signature_name] = request.inputs
    assert set(requests) == set(SIGNATURES) - {"serving_default"}
    for name, inputs in requests.items():
        tensors = {key: tf.constant(tf.make_ndarray(value)) for key, value in inputs.items()}
        outputs = signatures[name](**tensors)
        assert all(len(value) == 1 for value in outputs.values())


def test_litert_runs_any_number_of_rows(exported, tmp_path):
    model, folder = exported
    one = load(folder / "model.tflite")
    four = load(tflite(model, tmp_path / "four.tflite", batch_size=4))
    free = load(tflite(model, tmp_path / "free.tflite", batch_size=None))
    rows = [file.signatures["decode"]["z"].shape for file in (one, four, free)]
    assert rows == [(1, LATENT_DIM), (4, LATENT_DIM), (None, LATENT_DIM)]
    for size in (1, 4, 10):
        for file in (one, four, free):
            mean = file("decode", z=latents(size))["mean"]
            np.testing.assert_allclose(mean, model.decode(latents(size)).mean(), atol=1e-6)
            encoded = file("encode", x=data_for(model, size))
            np.testing.assert_allclose(
                encoded["location"], model.embed(data_for(model, size)), atol=1e-6
            )


def test_litert_computes_likelihoods_at_any_parameters(tmp_path):
    """Among them logits whose softplus is infinite there, and gamma functions, which it has not."""
    counts = likelihoods.NegativeBinomial()
    families = {
        "bernoulli": (likelihoods.Bernoulli(), (0.0, 1.0)),
        "beta": (likelihoods.Beta(), (0.01, 0.9)),
        "logistic": (likelihoods.DiscretizedLogistic(), (0.0, 0.2, 1.0)),
        "mixture": (likelihoods.DiscretizedLogistic(num_components=2), (0.0, 0.2, 1.0)),
        "poisson": (likelihoods.Poisson(), (0.0, 3.0, 500.0)),
        "negative_binomial": (counts, (0.0, 3.0, 500.0)),
        "zero_inflated": (likelihoods.ZeroInflated(likelihood=counts), (0.0, 3.0, 500.0)),
        "optimal_normal": (likelihoods.OptimalNormal(initial_scale=0.5), (-3.0, 0.5)),
    }

    def values(likelihood):
        def computed(params, x):
            log_prob = likelihood.log_prob(params, x)
            return {"log_prob": log_prob, "location": likelihood.location(params)}

        return computed

    functions = {
        name: trace(
            name,
            values(likelihood),
            {
                "params": tf.TensorSpec((None, likelihood.params_size(2)), tf.float32),
                "x": tf.TensorSpec((None, 2), tf.float32),
            },
        )
        for name, (likelihood, _) in families.items()
    }
    (tmp_path / "m.tflite").write_bytes(convert(vae(), functions, None))
    file = load(tmp_path / "m.tflite")
    rng = np.random.default_rng(0)
    for name, (likelihood, support) in families.items():
        size = likelihood.params_size(2)
        params = np.concatenate(
            [rng.normal(scale=scale, size=(20, size)) for scale in (1, 5, 100)]
            + [np.full((2, size), (1e6, -1e6)[side]) for side in (0, 1)]
        ).astype(np.float32)
        x = rng.choice(support, (len(params), 2)).astype(np.float32)
        found, expected = file(name, params=params, x=x), values(likelihood)(params, x)
        assert np.isfinite(found["log_prob"]).all(), name
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_litert_generates_the_same_pictures(exported, tmp_path):
    model, folder = exported
    few = load(tflite(model, tmp_path / "few.tflite", num_samples=5, signatures=["generate"]))
    assert list(few.signatures) == ["generate"]
    many = load(folder / "model.tflite")
    for seed in SEEDS:
        pair = np.asarray(as_seed(seed))
        expected = model.generate(16, seed)
        np.testing.assert_allclose(many("generate", seed=pair)["mean"], expected, atol=1e-6)
        np.testing.assert_allclose(few("generate", seed=pair)["mean"], expected[:5], atol=1e-6)


def test_signatures_of_a_litert_file_share_their_weights(tmp_path):
    """All three together are hardly larger than the two that have different weights."""
    wide = VAE(*networks.mlp(200, 4, hidden=100), likelihood=likelihoods.Bernoulli())
    one, two, three = (
        tflite(wide, tmp_path / "a.tflite", signatures=signatures).stat().st_size
        for signatures in (["decode"], ["decode", "encode"], None)
    )
    weights = 4 * wide.count_params()
    assert one < weights < two < three < weights + 45_000


def test_quantised_files_are_smaller_and_close(tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(*networks.mlp(300, 8, hidden=200), likelihood=likelihoods.Bernoulli())
    x = (np.random.default_rng(0).random((100, 300)) < 0.4).astype(np.float32)
    kinds = (None, "float16", "dynamic_int8", "int8", "int4")
    measured = export(model, tmp_path / "export", formats=["tflite"], quantizations=kinds, data=x)
    decode = {row.file: row for row in measured.rows if row.signature == "decode"}
    files = ["model.tflite", *(f"model_{kind}.tflite" for kind in kinds[1:])]
    assert list(decode) == files
    sizes = [decode[name].size for name in files]
    shares = [size / sizes[0] for size in sizes[1:]]
    assert 0.48 < shares[0] < 0.56
    assert 0.24 < shares[1] < 0.34
    assert 0.22 < shares[2] < 0.34
    assert 0.12 < shares[3] < 0.24
    errors = [decode[name].mean_difference for name in files]
    assert errors == sorted(errors) or errors[2] < errors[4]
    assert 0 < errors[1] < 1e-4 < errors[4] < 0.02
    assert [name for name in files if decode[name].nats is None] == ["model.tflite"]
    assert abs(decode["model_float16.tflite"].nats) < 0.01
    assert abs(decode["model_dynamic_int8.tflite"].nats) < 0.3
    assert set(load(tmp_path / "export/model_int8.tflite").signatures) == {"decode", "encode"}


def test_full_integers_in_and_out(tmp_path):
    """The file itself takes and gives int8; through `load`, the numbers that they stand for."""
    from ai_edge_litert import schema_py_generated as schema

    model = VAE(*networks.mlp(60, 4, hidden=50), likelihood=likelihoods.Bernoulli())
    for per_tensor in (False, True):
        path = tflite(
            model,
            tmp_path / "int8.tflite",
            "int8",
            signatures=["decode"],
            integer_io=True,
            per_tensor=per_tensor,
        )
        file = load(path)
        (details,) = file._runners["decode"].get_input_details().values()
        assert details["dtype"] is np.int8
        z = model.prior.sample(50, seed=1)
        mean = file("decode", z=z)["mean"]
        exact = model.decode(z).mean()
        assert np.abs(mean - exact).max() < 0.05
        assert np.abs(mean - exact).mean() < 0.01
        graph = schema.Model.GetRootAs(path.read_bytes(), 0).Subgraphs(0)
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        scales = [
            tensor.Quantization().ScaleLength()
            for tensor in tensors
            if tensor.ShapeAsNumpy().tolist() in ([50, 4], [60, 50])
        ]
        assert sorted(scales) == ([1, 1] if per_tensor else [50, 60])


def test_quantisation_cost_is_that_of_the_elbo(tmp_path):
    """Against the bound computed with the quantised weights in place of the model's own."""
    model = VAE(*networks.mlp(400, 4, hidden=100), likelihood=likelihoods.Bernoulli())
    model.decoder.set_weights([10 * w for w in model.decoder.get_weights()])
    x = (np.random.default_rng(0).random((100, 400)) < 0.4).astype(np.float32)
    assert quantization_cost(model, None, x) == 0.0
    halved = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    halved.set_weights(
        [w.astype(np.float16).astype(np.float32) if w.ndim == 2 else w for w in model.get_weights()]
    )
    seed, cost = as_seed(0), quantization_cost(model, "float16", x)
    elbo = [
        endpoints(m, ["score"])["score"](x=tf.constant(x), seed=seed)["elbo"].numpy().mean()
        for m in (model, halved)
    ]
    assert abs(cost) > 0.01
    assert cost == pytest.approx(elbo[0] - elbo[1], rel=0.03)
    assert abs(quantization_cost(model, "int4", x)) > 5 * abs(cost)


def test_a_litert_file_says_what_it_is(tmp_path):
    about = {"name": "digits", "version": "3", "licence": "CC0-1.0"}
    path = tflite(vae(), tmp_path / "model.tflite", "dynamic_int8", about=about)
    said = metadata(path)
    assert {key: said[key] for key in about} == about
    assert said["quantization"] == "dynamic_int8"
    assert said["latent_dim"] == LATENT_DIM
    assert said["signatures"]["decode"]["inputs"]["z"]["shape"] == [1, LATENT_DIM]
    assert "round(255" in said["pictures"]
    assert "[0, 1]" in said["signatures"]["generate"]["outputs"]["mean"]["meaning"]
    with pytest.raises(ValueError, match="no metadata of keras_vae"):
        metadata(_someone_elses(tmp_path))


def _someone_elses(folder):
    function = tf.function(lambda z: {"out": 2.0 * z})
    concrete = function.get_concrete_function(tf.TensorSpec((2, 3), tf.float32, "z"))
    path = folder / "other.tflite"
    path.write_bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([concrete], function).convert()
    )
    return path


def test_damaged_and_foreign_files_say_so(exported, tmp_path):
    _, folder = exported
    content = (folder / "model.tflite").read_bytes()
    for size in (0, 10, len(content) // 2):
        (tmp_path / "cut.tflite").write_bytes(content[:size])
        with pytest.raises(
            ValueError, match=rf"cut.tflite is (not a LiteRT file|damaged).*{size:,} bytes"
        ):
            load(tmp_path / "cut.tflite")
    for at in (9, len(content) // 3, len(content) - 5):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        (tmp_path / "changed.tflite").write_bytes(changed)
        with pytest.raises(ValueError, match=r"changed.tflite is damaged.*Export the model again"):
            load(tmp_path / "changed.tflite")
    for name in ("none.tflite", "nowhere"):
        with pytest.raises(FileNotFoundError, match=name):
            load(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not a SavedModel"):
        load(tmp_path / "empty")
    (tmp_path / "onnx").mkdir()
    whole = (folder / "onnx/decode.onnx").read_bytes()
    (tmp_path / "onnx/decode.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"decode\.onnx is not an ONNX file, or it is damaged"):
        load(tmp_path / "onnx")
    with pytest.raises(ValueError, match="has no signatures"):
        parity(vae(), _someone_elses(tmp_path))


@pytest.mark.parametrize("name", ["saved_model", "model.tflite", "onnx"])
def test_wrong_calls_say_what_a_file_takes(exported, name):
    _, folder = exported
    file = load(folder / name)
    for inputs, message in (
        ({"z": np.zeros((2, 5))}, r"'z' .* shape \('N', 3\)\. Received shape \(2, 5\)"),
        ({"z": np.zeros(3)}, r"shape \('N', 3\)\. Received shape \(3,\)"),
        ({"z": [[0.0, np.nan, 0.0]]}, "'z' holds 1 values that are NaN or infinite"),
        ({"z": [[0.0, 1e300, 0.0]]}, "'z' holds 1 values that are NaN or infinite in float32"),
        ({"z": [[True, False, True]]}, "takes float32. Received: bool"),
        ({"z": [["a", "b", "c"]]}, "takes float32"),
        ({"y": np.zeros((1, 3))}, r"takes the inputs \['z'\]\. Received: \['y'\]"),
        ({"z": np.zeros((0, 3))}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            file("decode", **inputs)
    with pytest.raises(ValueError, match=r"no signature 'dekode'.*'decode', 'encode'"):
        file("dekode")
    rest = {} if name == "model.tflite" else {"num_samples": 2}
    for seed in ([0.5, 1.0], [1, 2, 3], 2**64, "seven", True, [True, False]):
        with pytest.raises(
            ValueError, match=r"Invalid seed. Expected an integer of 64 bits or a pair"
        ):
            file("generate", seed=seed, **rest)
    for seed in (7, [7, 0], -1, [-1, -1], [2**31, 0]):
        pictures = file("generate", seed=seed, **rest)["mean"]
        np.testing.assert_allclose(pictures, exported[0].generate(len(pictures), seed), atol=1e-5)
    for number in (0, -1) if rest else ():
        with pytest.raises(ValueError, match=f"at least 1. Received: .{number}"):
            file("generate", seed=7, num_samples=number)


def test_rows_that_do_not_go_together_are_named(tmp_path):
    model = conditional()
    export(model, tmp_path / "export", formats=("saved_model", "tflite", "onnx"), num_samples=4)
    rest = {"label": np.zeros(3, np.int64), "style": np.zeros((3, 2), np.float32)}
    for name in FILES:
        file = load(tmp_path / "export" / name)
        specs = file.signatures["generate"]
        inputs = {key: value for key, value in rest.items() if key in specs} | {"seed": 7}
        if "num_samples" in specs:
            inputs["num_samples"] = 4
        with pytest.raises(ValueError, match=r"same number of rows|takes 4 rows. Received: 3"):
            file("generate", **inputs)


def test_an_absent_runtime_is_skipped_with_its_reason(exported, monkeypatch, tmp_path):
    _, folder = exported
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    measured = check(folder)
    assert {row.file for row in measured.rows} == {"saved_model", "model.tflite"}
    assert "onnx was not run" in measured.skipped[0]
    assert "pip install 'keras-vae[export]'" in str(measured)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["files"] = {"onnx": config["files"]["onnx"]}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"Nothing was checked:\nonnx was not run"):
        check(copy)
    with pytest.raises(ImportError, match="onnxruntime"):
        onnx(vae(), folder.parent / "more")


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
        lambda: tflite(model, folder / "model.tflite"),
        lambda: onnx(model, folder / "onnx"),
        lambda: export(model, folder, overwrite=True),
    ):
        with pytest.raises(ValueError, match=message):
            write()
    assert content_of(folder) == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["export"]


def test_an_op_that_litert_has_no_builtin_for_is_refused_by_name(tmp_path):
    model = with_layer(Digamma())
    with pytest.raises(ValueError, match=r"no built-in op for tf\.Digamma at .*Digamma"):
        tflite(model, tmp_path / "model.tflite")
    with pytest.raises(ValueError, match=r"ONNX cannot take the signature .*Digamma at '.*digamma"):
        onnx(model, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_litert_cannot_run_is_refused(tmp_path):
    model = with_layer(LogGamma())
    with pytest.raises(ValueError, match=r"converted, but LiteRT cannot run .* `batch_size`"):
        tflite(model, tmp_path / "model.tflite", batch_size=None)
    assert list(tmp_path.iterdir()) == []
    parity(model, tflite(model, tmp_path / "model.tflite", batch_size=4), num_rows=10)


@pytest.mark.parametrize("layer", ["gru", "lstm"])
def test_loops_are_refused_in_full_integers(layer, tmp_path):
    """The converter's calibration would end the process."""
    make = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[layer]

    def recurrent(unroll):
        encoder, _ = networks.mlp(
            (6, 1), 3, hidden=4, likelihood=likelihoods.Bernoulli(event_rank=2)
        )
        z = keras.Input((3,), name="z")
        steps = make(4, return_sequences=True, unroll=unroll)(keras.layers.RepeatVector(6)(z))
        decoder = keras.Model(z, keras.layers.Dense(1)(steps))
        return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(event_rank=2))

    options = {"signatures": ["decode"], "quantization": "int8"}
    with pytest.raises(
        ValueError, match=r"'decode' has a loop or a branch, TensorList.* at.*unroll=True"
    ):
        tflite(recurrent(unroll=False), tmp_path / "a.tflite", **options)
    assert not (tmp_path / "a.tflite").exists()
    assert tflite(recurrent(unroll=True), tmp_path / "a.tflite", **options).exists()


@pytest.mark.parametrize("activation", ["gelu", "celu"])
def test_activations_that_onnx_has_no_op_for_are_built_from_others(activation, tmp_path):
    encoder, decoder = networks.mlp(EVENT_SIZE, LATENT_DIM, hidden=8, activation=activation)
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    onnx(model, tmp_path / "onnx")
    assert max(row.largest_difference for row in parity(model, tmp_path / "onnx").rows) < 1e-5


def test_a_network_with_a_table_is_refused(tmp_path):
    x, word = keras.Input((6,), name="x"), keras.Input((), name="word", dtype="string")
    number = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(word)
    encoder = keras.Model([x, word], keras.layers.Dense(6)(keras.layers.Concatenate()([x, number])))
    _, decoder = networks.mlp(6, 3, hidden=4)
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())
    with pytest.raises(ValueError, match=r"state that is no variable, such as.*StringLookup"):
        saved_model(model, tmp_path / "saved")
    assert not (tmp_path / "saved" / "1").exists()


def test_a_path_that_tensorflow_takes_for_a_pattern_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"takes \[ \] in a path for wildcards"):
        saved_model(vae(), tmp_path / "my[run]")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(exported, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="could not be written: No space left on device"):
        export(exported[0], tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_is_in_all_weights(tmp_path):
    model = vae()
    from ai_edge_litert.interpreter import Interpreter

    tflite(model, tmp_path / "half.tflite", "float16")
    interpreter = Interpreter(str(tmp_path / "half.tflite"))
    interpreter.allocate_tensors()
    shapes = {
        tuple(sorted(tensor["shape"]))
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.float16
    }
    kernels = {tuple(sorted(w.shape)) for w in model.decoder.weights if len(w.shape) == 2}
    assert kernels <= shapes


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
    files = [folder / name for name in FILES]
    assert "LiteRT        model.tflite  decode" in str(parity(model, *files, num_rows=16))
    bias = model.decoder.weights[-1]
    before = bias.numpy()
    bias.assign(before + 1e-3)
    try:
        with pytest.raises(ParityError, match=r"saved_model decode, .*model\.tflite decode"):
            parity(model, *files, num_rows=16)
        parity(model, *files, num_rows=16, budgets=Budget(largest=1e-2))
        bias.assign(before * np.nan)
        with pytest.raises(ParityError, match="nan") as caught:
            parity(model, *files, num_rows=16, budgets=Budget())
        failed = {(row.file, row.signature) for row in caught.value.parity.failures}
        assert failed >= {(name, "decode") for name in FILES}
        assert (files[1].name, "encode") not in failed
    finally:
        bias.assign(before)


@pytest.mark.parametrize(
    ("budget", "passes"),
    [
        (Budget(), True),
        (Budget(largest=0.1), True),
        (Budget(largest=0.01), False),
        (Budget(grey_levels=255 * 0.02), True),
        (Budget(grey_levels=255 * 0.005), False),
        (Budget(nats=0.5), True),
        (Budget(nats=0.3), False),
    ],
)
def test_budgets(budget, passes):
    row = ParityRow(
        runtime="LiteRT",
        file="model.tflite",
        signature="decode",
        largest_difference=0.05,
        mean_difference=0.01,
        size=1,
        latency=1.0,
        nats=0.4,
        budget=budget,
    )
    assert row.passes == passes
    assert ("OVER BUDGET" in row.cells) == (not passes)


def test_a_reference_stands_for_the_model(exported, tmp_path):
    model, folder = exported
    reference = Reference.load(folder / "reference.npz")
    mean = reference.outputs["decode"]["mean"]
    np.testing.assert_allclose(
        mean, model.decode(reference.inputs["decode"]["z"]).mean(), atol=1e-6
    )
    measured = parity(reference, folder / "model.tflite")
    assert [row.signature for row in measured.rows] == ["decode", "encode", "generate"]


def test_an_export_is_checked_again_without_the_model(exported, tmp_path):
    _, folder = exported
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert {row.file for row in check(copy).rows} == set(FILES)
    other = vae()
    tflite(other, copy / "model.tflite")
    with pytest.raises(ParityError, match=r"model\.tflite decode"):
        check(copy)
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    config, reference = (copy / "config.json").read_text(), (copy / "reference.npz").read_bytes()
    for damaged in (b"half", reference[:-9], reference[:99] + b"!" + reference[100:], b""):
        (copy / "reference.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"copy is damaged.*Export the model again"):
            check(copy)
    (copy / "reference.npz").write_bytes(reference)
    for change in (
        {"files": []},
        {"files": None},
        {"files": {}},
        {"files": {"../copy/onnx": json.loads(config)["files"]["onnx"]}},
        {"files": {"onnx": {"budget": {"largest": "far"}, "nats": None}}},
        {"files": {"onnx": {"budget": {"furthest": 1}, "nats": None}}},
        {"files": {"onnx": {"budget": {}}}},
        {"parity": 3},
    ):
        (copy / "config.json").write_text(json.dumps(json.loads(config) | change))
        with pytest.raises(ValueError, match=r"copy is damaged.*Export the model again"):
            check(copy)
    (copy / "config.json").write_text(config)
    (copy / "onnx" / "decode.onnx").unlink()
    with pytest.raises(ValueError, match="copy is damaged: onnx decode is gone"):
        check(copy)
    shutil.rmtree(copy / "onnx")
    (copy / "onnx").mkdir()
    with pytest.raises(ValueError, match=r"onnx holds no .onnx files"):
        check(copy)
    for folder, message in ((tmp_path, "not an export"), (tmp_path / "none", "no folder")):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            check(folder)


def test_parity_names_what_is_of_another_model(exported):
    _, folder = exported
    other = VAE(*networks.mlp(EVENT_SIZE, 5, hidden=8), likelihood=likelihoods.Bernoulli())
    wider = VAE(*networks.mlp(9, LATENT_DIM, hidden=8), likelihood=likelihoods.Bernoulli())
    for name in FILES:
        with pytest.raises(ValueError, match=r"shape \('N', 3\)\. Received shape \(8, 5\)"):
            parity(other, folder / name, num_rows=8)
        with pytest.raises(
            ValueError, match=r"of another model: its decode .*\(16, 6\).*\(16, 9\)"
        ):
            parity(wider, folder / name, num_rows=16)
    with pytest.raises(ValueError, match="nothing to compare"):
        parity(wider)


# Files.


def test_a_failed_export_leaves_the_earlier_one_or_nothing(exported, tmp_path):
    model, folder = exported
    before = content_of(folder)
    with pytest.raises(FileExistsError, match="earlier result"):
        export(model, folder)
    options = {"formats": ["saved_model"], "budgets": {None: Budget(largest=-1.0)}}
    for target in (folder, tmp_path / "new"):
        with pytest.raises(ParityError):
            export(model, target, overwrite=True, **options)
    assert content_of(folder) == before
    assert list(tmp_path.iterdir()) == []


def test_the_config_says_what_was_measured(exported):
    _, folder = exported
    config = json.loads((folder / "config.json").read_text())
    assert config["keras_vae"] == {"kind": "export", "format": 1}
    assert set(config["files"]) == {row["file"] for row in config["parity"]} == set(FILES)
    assert set(config["versions"]) >= {"keras-vae", "tensorflow", "ai-edge-litert"}


def test_foreign_files_are_left_alone(tmp_path):
    model = vae()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text('{"keras_vae": {"kind": "run", "format": 1}}')
    (tmp_path / "1").mkdir()
    (tmp_path / "1/thesis.tex").write_text("mine")
    before = content_of(tmp_path)
    with pytest.raises(FileExistsError, match="is not a SavedModel"):
        saved_model(model, tmp_path)
    with pytest.raises(FileExistsError, match=r"other than \.onnx files"):
        onnx(model, tmp_path)
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
    (tmp_path / "saved/1").mkdir(parents=True)
    model = vae()
    for size in (1, 2):
        path = saved_model(model, tmp_path / "saved")
        model.decoder.weights[-1].assign_add(keras.ops.ones(EVENT_SIZE) * size)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["1"]
    with pytest.raises(ParityError):
        parity(model, path)


def test_litert_is_imported_only_when_it_is_used(monkeypatch):
    monkeypatch.setattr(keras_vae, "export", keras_vae.export)
    for name in [name for name in sys.modules if name.startswith("keras_vae.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    module = importlib.import_module("keras_vae.export")
    with pytest.raises(ImportError):
        module.load(__file__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "int7"}, "Unknown quantization 'int7'.*'int8'"),
        ({"batch_size": 0}, "batch_size.*at least 1"),
        ({"num_samples": 0}, "num_samples.*at least 1"),
        ({"integer_io": True}, 'belong to quantization="int8"'),
        (
            {"quantization": "int8", "signatures": ["generate"]},
            r"has the signatures \('decode', 'e",
        ),
        ({"signatures": []}, "has the signatures"),
    ],
)
def test_unfit_options_are_named(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tflite(vae(), tmp_path / "model.tflite", **options)
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_named(tmp_path):
    for options, message in (
        ({"formats": ["coreml"]}, r"formats.*'onnx'.*Received: \['coreml'\]"),
        ({"formats": []}, r"formats.*Received: \[\]"),
        ({"formats": "onnx"}, "formats.*sequence.*Received: 'onnx'"),
        ({"quantizations": ()}, r"quantizations.*Received: \(\)"),
        ({"quantizations": ["int7"]}, "quantizations.*'int8'"),
        ({"formats": ["onnx"], "quantizations": ["int8"]}, "of LiteRT files, which are not among"),
        ({"num_samples": -5}, "num_samples.*at least 1"),
        ({"batch_size": 0}, "batch_size.*at least 1"),
        ({"budgets": {"int7": Budget()}}, "budgets are by quantization"),
    ):
        with pytest.raises(ValueError, match=message):
            export(vae(), tmp_path / "export", **options)
    assert list(tmp_path.iterdir()) == []
