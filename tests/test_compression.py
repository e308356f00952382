"""The codec: every element comes back, in as many bits as -ELBO says, and nothing else is taken for a file."""

import dataclasses
import sys
import zlib

import keras
import numpy as np
import pytest
from conformance.rows import not_miwae, vae
from scipy import special, stats
from test_detect_cli import trained

from keras_vae import VAE, compression, likelihoods, load_model, networks, priors
from keras_vae.applications import compressed_runs
from keras_vae.compression.bits_back import _Components
from keras_vae.compression.container import Compressed, fingerprint

RNG = np.random.default_rng(0)
CATEGORIES = likelihoods.Categorical(num_categories=3)
VARIANCE = [0.04, 0.06]  # of the posterior in both dimensions
HEADER_BITS = 8 * (8 + 1 + 4 + 8 + 3 * 16)


def compress(model, x):
    return compression.compress(model, x, progress=False)


def decompress(model, file):
    return compression.decompress(model, file, progress=False)


@pytest.fixture(scope="module")
def bits():
    return RNG.integers(0, 2, [40, 6]).astype(np.float32)


@pytest.fixture(scope="module")
def file(bits):
    """A model, and what it makes of bits."""
    model = vae()
    return model, compress(model, bits)


def set_networks(model, encoder_kernel, log_variance, decoder_kernel):
    """One dense layer each, without a hidden one."""
    zeros = np.zeros_like(encoder_kernel)
    bias = np.concatenate([np.zeros(len(log_variance)), log_variance])
    model.encoder.layers[-1].set_weights([np.concatenate([encoder_kernel, zeros], axis=1), bias])
    model.decoder.layers[-1].set_weights([decoder_kernel, np.zeros(decoder_kernel.shape[1])])


def normal_mixture():
    prior = priors.NormalMixture(2, num_components=3, seed=1)
    prior.logits.assign([0.0, 1.0, -1.0])
    prior.log_variance.assign(np.log([[0.3, 1.0], [0.5, 0.2], [1.0, 2.0]]))
    return prior


@pytest.mark.parametrize(
    ("likelihood", "prior"),
    [(likelihoods.Bernoulli(), None), (CATEGORIES, normal_mixture)],
    ids=["Bernoulli, StandardNormal", "Categorical, NormalMixture"],
)
def test_bits_are_those_of_the_bound_by_quadrature(likelihood, prior):
    elements, num_examples, num_symbols = 48, 2000, len(likelihood.alphabet)
    prior = prior() if prior else priors.StandardNormal(2)
    model = VAE(
        *networks.mlp(elements, 2, hidden=(), likelihood=likelihood),
        likelihood=likelihood,
        prior=prior,
    )
    encoder_kernel = RNG.normal(0, 0.1, [elements, 2])
    decoder_kernel = RNG.normal(0, 0.7, [2, likelihood.params_size(elements)])
    set_networks(model, encoder_kernel, np.log(VARIANCE), decoder_kernel)

    def log_softmax(z):
        logits = z @ decoder_kernel
        if num_symbols == 2:
            logits = np.stack([np.zeros_like(logits), logits], axis=-1)
        logits = logits.reshape(*z.shape[:-1], elements, num_symbols)
        return logits - special.logsumexp(logits, axis=-1, keepdims=True)

    z = np.asarray(prior.sample(num_examples, seed=3), np.float64)
    chances = np.exp(log_softmax(z)).cumsum(axis=-1)
    x = (RNG.random((num_examples, elements, 1)) > chances[..., :-1]).sum(axis=-1)
    # E_q[log q(z|x) - log p(z) - log p(x|z)] with Gauss and Hermite's rule in both dimensions.
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    noise = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    loc, scale = x @ encoder_kernel, np.sqrt(VARIANCE)
    negative_elbo = 0.0
    for share, at in zip(weights, noise, strict=True):
        z = loc + scale * at
        log_q = stats.norm(loc, scale).logpdf(z).sum(axis=-1)
        log_p = prior.distribution().log_prob(z.astype(np.float32)).numpy()
        log_x = np.take_along_axis(log_softmax(z), x[..., np.newaxis], axis=-1).sum(axis=(1, 2))
        negative_elbo += share * np.sum(log_q - log_p - log_x)

    file = compress(model, x)
    overhead = (8 * len(file) - HEADER_BITS) / (negative_elbo / np.log(2)) - 1
    assert -0.003 < overhead < 0.008
    np.testing.assert_array_equal(decompress(model, file), x)


def test_the_component_given_z_is_bayes_rule():
    prior, points = normal_mixture(), np.array([[0, 0], [-150, 40], [300, 300]])
    mixture, z = prior.distribution(), (points / 128).astype(np.float32)
    log_joint = mixture.components_distribution.log_prob(z[:, np.newaxis])
    log_joint += mixture.mixture_distribution.logits
    given = _Components.of(prior).given(points)
    expected = special.softmax(log_joint.numpy(), axis=1)
    np.testing.assert_allclose(given / given.sum(axis=1, keepdims=True), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [bool, np.uint8, ">i4", np.float16, np.float64])
def test_examples_come_back_in_their_dtype(file, bits, dtype):
    model, x = file[0], bits.astype(dtype)
    again = decompress(model, compress(model, x))
    assert again.dtype == x.dtype.newbyteorder("<")
    np.testing.assert_array_equal(again, x)


def test_zeros_with_a_sign_come_back_without(file, bits):
    inverted = 1.0 - bits
    signed = -(bits - 1.0)
    assert np.signbit(signed).any()
    again = decompress(file[0], compress(file[0], signed))
    np.testing.assert_array_equal(again, inverted)
    assert compress(file[0], signed) == compress(file[0], inverted)


def test_what_has_no_portable_bytes_is_refused(file, bits):
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(ValueError, match="at most 64 bits"):
            compress(file[0], bits.astype(np.longdouble))
    for name in ("x.kvae", None):
        with pytest.raises(TypeError, match="content of a compressed file, as bytes"):
            decompress(file[0], name)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_more_categories_than_the_dtype_has_values(dtype):
    family = likelihoods.Categorical(num_categories=300)
    x = RNG.integers(0, 128, [10, 2]).astype(dtype)
    encoder, decoder = networks.mlp(2, 2, hidden=4, likelihood=family)
    model = VAE(encoder, decoder, likelihood=family)
    np.testing.assert_array_equal(decompress(model, compress(model, x)), x)


@pytest.mark.parametrize("num_examples", [1, 2, 7, 401])
def test_any_number_of_images(num_examples):
    model = VAE(
        *networks.mlp((3, 2, 1), 3, hidden=(), likelihood=likelihoods.Bernoulli(event_rank=3)),
        likelihood=likelihoods.Bernoulli(event_rank=3),
    )
    x = RNG.integers(0, 2, [num_examples, 3, 2, 1])
    np.testing.assert_array_equal(decompress(model, compress(model, x)), x)


@pytest.mark.parametrize("maximum", [1.0, 255.0])
def test_pixels_of_256_levels(maximum):
    """Pixels / 255 in float32, as images are loaded, are no exact floats."""
    likelihood = likelihoods.DiscretizedLogistic(maximum=maximum)
    x = RNG.integers(0, 256, [20, 6]).astype(np.float32) / np.float32(255.0 / maximum)
    model = vae(likelihood)
    again = decompress(model, compress(model, x))
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, x)


def test_the_same_examples_give_the_same_file(file, bits):
    assert compress(file[0], bits) == file[1]


def test_a_vamp_prior_and_latents_far_from_the_prior(bits):
    encoder, decoder = networks.mlp(6, 3, hidden=())
    prior = priors.VampPrior(encoder, num_components=4)
    model = VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(), prior=prior)
    set_networks(model, np.full([6, 3], 30.0), np.array([-20.0, 0.0, 20.0]), np.ones([3, 6]))
    np.testing.assert_array_equal(decompress(model, compress(model, bits)), bits)


def test_a_loaded_model_is_the_same_one(file, bits, tmp_path):
    model, content = file
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(decompress(load_model(tmp_path / "model.keras"), content), bits)


def test_a_model_is_known_by_what_it_computes(file):
    model, _ = file
    copy = vae()
    copy.set_weights(model.get_weights())
    assert {layer.name for layer in copy.encoder.layers} != {x.name for x in model.encoder.layers}
    assert fingerprint(copy) == fingerprint(model)
    copy.encoder.layers[1].activation = keras.activations.tanh
    assert fingerprint(copy) != fingerprint(model)
    assert fingerprint(model.with_prior(priors.NormalMixture(3))) != fingerprint(model)


def test_another_model_is_refused_by_name(file):
    model, content = file
    other = vae()
    other.set_weights(model.get_weights())
    other.decoder.trainable_variables[-1].assign_add([0, 0, 0, 0, 0, 1e-6])
    here, there = fingerprint(other).hex()[:8], fingerprint(model).hex()[:8]
    with pytest.raises(ValueError, match=f"Expected the model {there}. Received: {here}"):
        decompress(other, content)


def test_every_damage_is_found(file):
    model, content = file
    damaged = [content[:size] for size in range(0, len(content), 3)]
    damaged += [content + b"\0", content.replace(b"\r\n", b"\n"), b"\x1f\x8b" + content]
    for place in RNG.integers(0, 8 * len(content), 300):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for each in damaged:
        with pytest.raises(ValueError, match=r"nothing that keras_vae compressed|damaged"):
            decompress(model, each)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 2**60}, "more than this machine's memory"),
        ({"count": 39}, "other numbers"),
        ({"count": 4000}, "other numbers"),
        ({"dtype": np.dtype("<M8[s]")}, "dtype"),
        ({"examples": bytes(16)}, "other numbers"),
        ({"count": 0}, "no example"),
        ({"words": np.zeros(0, np.uint32)}, "no example"),
        ({"words": np.arange(1, 99, dtype=np.uint32)}, "other numbers"),
        ({"words": np.zeros(9, np.uint32)}, "no example"),
    ],
    ids=str,
)
def test_a_forged_file_is_refused(file, change, said):
    """With a right checksum."""
    forged = dataclasses.replace(Compressed.from_bytes(file[1]), **change).to_bytes()
    with pytest.raises(ValueError, match=said):
        decompress(file[0], forged)


@pytest.mark.parametrize("change", [1e-6, 0.5])
def test_networks_that_give_other_numbers_are_found(file, change):
    model, content = file
    other = vae()
    other.set_weights(model.get_weights())
    other.encoder.trainable_variables[-1].assign_add([change] * 6)
    forged = dataclasses.replace(Compressed.from_bytes(content), model=fingerprint(other))
    with pytest.raises(ValueError, match="other numbers here"):
        decompress(other, forged.to_bytes())


def conditional():
    encoder, decoder = networks.mlp(6, 3, hidden=4, conditions={"label": 2})
    return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: vae(likelihoods.Normal()), "a density has none.*Received: Normal"),
        (lambda: vae(likelihoods.ContinuousBernoulli()), "Received: ContinuousBernoulli"),
        (conditional, "asks for .*label"),
        (not_miwae, "Received: NotMIWAE"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, said, bits):
    with pytest.raises(ValueError, match=said):
        compress(model(), bits)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros([0, 6]), "empty"),
        (np.full([3, 6], 0.5), "grey"),
        (np.zeros([3, 5]), "shape"),
        (np.full([3, 6], np.nan), "NaN"),
        (np.full([3, 6], 1 + 1e-12), "could not be given back"),
    ],
    ids=["none", "grey", "shape", "NaN", "rounded"],
)
def test_examples_that_are_not_the_model_s(file, x, said):
    with pytest.raises(ValueError, match=said):
        compress(file[0], x)


def test_a_model_that_gives_no_numbers(bits):
    model = vae()
    model.encoder.set_weights([w * np.nan for w in model.encoder.get_weights()])
    with pytest.raises(ValueError, match="encoder gives NaN"):
        compress(model, bits)


def test_what_is_missing_is_named(monkeypatch, file, bits):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"keras-vae\[compress\]"):
        compress(file[0], bits)


def test_the_sheet_of_other_formats_holds_every_image():
    images = RNG.integers(0, 2, [5, 2, 3, 1], dtype=np.uint8)
    sheet = compressed_runs._sheet(images)
    assert sheet.shape == (6, 6, 1)
    np.testing.assert_array_equal(sheet[2:4, 3:], images[3])
    assert compressed_runs.other_sizes(images, (0.0, 1.0))["packed bits"] == 4


@pytest.mark.parametrize("num_levels", [4, 16, 256])
def test_other_formats_are_given_the_levels_themselves(num_levels):
    """float32(k / 255) is not float64's; every level is a symbol of its own, the two brightest too."""
    alphabet = likelihoods.DiscretizedLogistic(num_levels=num_levels).alphabet
    levels = RNG.integers(num_levels - 2, num_levels, [40, 4, 4, 1])
    x = np.asarray(alphabet, np.float32)[levels]
    packed = zlib.compress(levels.astype(np.uint8).tobytes(), 9, wbits=31)
    assert compressed_runs.other_sizes(x, alphabet)["gzip -9"] == len(packed)


@pytest.fixture(scope="module")
def run(tmp_path_factory, images):
    return trained(tmp_path_factory.mktemp("compressed"), images, protocol="static")


def test_the_command_line(cli, run, tmp_path):
    path, back = tmp_path / "x.kvae", tmp_path / "x.npy"
    code, out, err = cli("compress", run.path, "--output", path)
    assert code == 0, err
    x = run.data.examples("test")
    assert f"{len(x)} examples, all given back" in out
    table = {line[:11].strip(): line[11:].split() for line in out.splitlines() if "%" in line}
    assert table["packed bits"][0] == str(x.size // 8)
    assert table["this file"][0] == str(path.stat().st_size)
    assert {"gzip -9", "bzip2 -9", "xz -9e"} < set(table)
    assert "PNG, one picture" in out
    code, out, err = cli("decompress", run.path, path, "--output", back)
    assert code == 0, err
    np.testing.assert_array_equal(np.load(back), x)

    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = cli("decompress", run.path, path, "--output", tmp_path / "y.npy")
    assert code == 1
    assert f"{path} cannot be decompressed" in err
    assert "damaged or cut off" in err
    assert not (tmp_path / "y.npy").exists()
    assert cli("decompress", run.path, path, "--output", tmp_path / "y.txt")[0] == 2
    assert "There is no file" in cli("decompress", run.path, "none", "--output", back)[2]


def test_outputs_are_tried_before_the_work(cli, run, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed_runs, "compress", None)
    monkeypatch.setattr(compressed_runs, "decompress", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "x.npy").mkdir()
    for output, said in (("x.npy", "is a folder"), ("file/x.npy", "file")):
        for words in (("compress", run.path), ("decompress", run.path, tmp_path / "file")):
            code, _, err = cli(*words, "--output", tmp_path / output)
            assert code == 1
            assert said in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x.npy"]


def test_no_output_takes_the_place_of_what_is_needed(cli, run, tmp_path):
    before = (run.path / "model.keras").read_bytes()
    source = tmp_path / "x.npy"
    source.write_bytes(b"")
    for words, kept in (
        (("compress", run.path), run.path / "model.keras"),
        (("compress", run.path), run.path / "state" / "x"),
        (("decompress", run.path, source), source),
        (("generate", run.path), run.recipe.data),
        (("embed", run.path), run.path / "evaluation.json"),
    ):
        if words[0] == "embed":
            (run.path / "evaluation.json").write_text("{}")
        code, _, err = cli(*words, "--output", kept)
        assert code == 1, err
        assert "Choose another place" in err
    (run.path / "evaluation.json").unlink()
    assert (run.path / "model.keras").read_bytes() == before


def test_other_data_and_fewer(cli, run, tmp_path, images):
    path = tmp_path / "x.kvae"
    words = ("--data", images, "--split", "train", "--limit", "5", "--output", path)
    code, out, err = cli("compress", run.path, *words)
    assert code == 0, err
    assert "5 examples, all given back" in out
