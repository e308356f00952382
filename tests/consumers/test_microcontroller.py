"""export/microcontroller: the int8 decoder in tflite-micro against LiteRT, and as C."""

import importlib.util
import re

import numpy as np
import pytest

from consumers.conftest import KITS, need, python, run
from keras_vae import export

KIT = KITS / "microcontroller/make_c.py"


@pytest.fixture(scope="module")
def kit():
    need(packages=("tflite_micro",))
    spec = importlib.util.spec_from_file_location("make_c", KIT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    return {
        per_tensor: export.tflite(
            model,
            folder / f"{per_tensor}.tflite",
            "int8",
            signatures=["decode"],
            integer_io=True,
            per_tensor=per_tensor,
        )
        for per_tensor in (False, True)
    }


def interpreter_of(file, **options):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), **options)
    interpreter.allocate_tensors()
    return interpreter


def by_litert(interpreter, q):
    decode = interpreter.get_signature_runner("decode")
    rows = [decode(z=row[np.newaxis])["mean"] for row in q]
    return np.concatenate(rows).reshape(len(q), -1).astype(int)


def by_hand(interpreter, q, *, half_up):
    """The file's arithmetic in NumPy: two dense layers, relu and sigmoid, in integers.

    A sum is scaled by a 31-bit multiplier and a power of two, rounded after each; what lies halfway
    in the second rounding goes away from zero in tflite-micro and up in LiteRT's own kernels.
    """

    def scaled(total, real):
        fraction, exponent = np.frexp(real)
        multiplier = np.round(fraction * 2**31).astype(np.int64)
        product = total.astype(np.int64) * multiplier
        high = np.where(product >= 0, product + 2**30, product + 1 - 2**30)
        high = np.where(high >= 0, high >> 31, -((-high) >> 31))
        shift = -exponent.astype(np.int64)
        threshold = (np.int64(1) << (shift - 1)) - np.int64(1)
        if not half_up:
            threshold = threshold + (high < 0)
        remainder = high & ((np.int64(1) << shift) - 1)
        return (high >> shift) + (remainder > threshold)

    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
    layers = [op for op in interpreter._get_ops_details() if op["op_name"] == "FULLY_CONNECTED"]
    values = q.astype(np.int64)
    for layer in layers:
        given, weights, bias = (tensors[i] for i in layer["inputs"])
        out = tensors[layer["outputs"][0]]
        scales = weights["quantization_parameters"]["scales"].astype(np.float64)
        (in_scale, in_zero), (out_scale, out_zero) = given["quantization"], out["quantization"]
        sums = (values - in_zero) @ interpreter.get_tensor(weights["index"]).astype(np.int64).T
        sums += interpreter.get_tensor(bias["index"])
        real = np.float64(np.float32(in_scale)) * scales / np.float64(np.float32(out_scale))
        values = np.clip(scaled(sums, np.broadcast_to(real, sums.shape)) + out_zero, -128, 127)
    logits = np.float32(out_scale) * (values - out_zero).astype(np.float32)
    return np.clip(np.round(256 / (1 + np.exp(-logits.astype(np.float64)))) - 128, -128, 127)


@pytest.mark.parametrize("per_tensor", [False, True])
def test_tflite_micro_gives_what_litert_gives(kit, files, per_tensor):
    """To the bit, but for sums that lie exactly halfway between two integers; those within 4 / 255."""
    from ai_edge_litert.interpreter import OpResolverType

    file = files[per_tensor]
    z = np.random.default_rng(0).normal(size=(20, 20))
    scale, zero_point = kit.ends(file)["z"]["quantization"]
    q = np.clip(np.round(z / scale) + zero_point, -128, 127).astype(np.int8)
    received = kit.run_on_micro(file, q, 1 << 20).astype(int)
    own = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    kernels = interpreter_of(file, experimental_op_resolver_type=own)
    np.testing.assert_array_equal(received, by_hand(kernels, q, half_up=False))
    np.testing.assert_array_equal(by_litert(kernels, q), by_hand(kernels, q, half_up=True))
    assert (received != by_litert(kernels, q)).mean() < 0.005
    for litert in (kernels, interpreter_of(file)):
        assert np.abs(received - by_litert(litert, q)).max() <= 4
    assert np.ptp(received) > 100


def test_what_does_not_run_is_named_and_nothing_is_written(kit, tmp_path):
    """A decoder of an op that tflite-micro has no kernel for."""
    import keras

    from keras_vae import VAE, likelihoods, networks

    encoder, _ = networks.mlp(6, 3, hidden=4)
    z = keras.Input((3,), name="z")
    h = keras.layers.Dense(6)(z)
    decoder = keras.Model(z, keras.ops.where(h > 0, h, 2 * h))
    file = export.tflite(
        VAE(encoder, decoder, likelihood=likelihoods.Bernoulli()),
        tmp_path / "decoder.tflite",
        "int8",
        signatures=["decode"],
        integer_io=True,
    )
    with pytest.raises(kit.DoesNotRun):
        kit.least_arena(file, 3)


@pytest.mark.parametrize("per_tensor", [False, True])
def test_the_arena_is_the_least_that_works(kit, files, per_tensor):
    file, q = files[per_tensor], np.zeros((1, 20), np.int8)
    arena = kit.least_arena(file, 20)
    assert kit.run_on_micro(file, q, arena).shape == (1, 784)
    with pytest.raises(kit.DoesNotRun):
        kit.run_on_micro(file, q, arena - kit.ALIGNMENT)


def test_the_readme_states_what_was_measured(kit, files):
    """The table's sizes, for the same network: weights do not change them."""
    text = (KIT.parent / "README.md").read_text()
    rows = re.findall(r"\| ([\d,]+) bytes \| ([\d,]+) bytes \|", text)
    stated = [tuple(int(cell.replace(",", "")) for cell in row) for row in rows]
    measured = [
        (files[per_tensor].stat().st_size, kit.least_arena(files[per_tensor], 20))
        for per_tensor in (True, False)
    ]
    for (size, arena), (stated_size, stated_arena) in zip(measured, stated, strict=True):
        assert arena == stated_arena
        assert abs(size - stated_size) < 200, "metadata differ in length"


def test_c_source_compiles_to_the_same_bytes(kit, files, tmp_path):
    need("gcc")
    content = files[True].read_bytes()
    meanings = {"z": "latents", "mean": "values in [0, 1]"}
    header = kit.c_header("vae_decoder", content, kit.ends(files[True]), 3072, meanings)
    (tmp_path / "vae_decoder.h").write_text(header)
    (tmp_path / "vae_decoder.c").write_text(kit.c_source("vae_decoder", content))
    (tmp_path / "main.c").write_text(
        '#include "vae_decoder.h"\n#include <stdio.h>\n'
        "int main(void) {\n"
        '  fprintf(stderr, "%d %d %.9g %d", VAE_DECODER_LATENT_DIM, VAE_DECODER_OUTPUT_SIZE,\n'
        "          VAE_DECODER_OUTPUT_SCALE, VAE_DECODER_OUTPUT_ZERO_POINT);\n"
        "  return fwrite(vae_decoder, 1, sizeof vae_decoder, stdout) != VAE_DECODER_BYTES;\n}\n"
    )
    run("gcc", "-std=c11", "-Wall", "-Werror", "-o", "a", "main.c", "vae_decoder.c", cwd=tmp_path)
    done = run(tmp_path / "a")
    assert done.stdout == content
    assert done.stderr == b"20 784 0.00390625 -128"


def test_the_program_writes_c_for_a_run(model, tmp_path):
    """With a run folder, as its README says."""
    from rich.console import Console

    from keras_vae import training

    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8))
    small = {"latent_dim": 3, "hidden": (8,), "epochs": 1, "batch_size": 10}
    recipe = training.Recipe(data=str(tmp_path / "images.npy"), protocol="dynamic", **small)
    training.train(recipe, tmp_path / "run", console=Console(quiet=True))
    said = python(KIT, tmp_path / "run", "--output", tmp_path / "firmware", text=True).stdout
    assert "bytes of arena" in said
    assert "#define VAE_DECODER_LATENT_DIM 3" in (tmp_path / "firmware/vae_decoder.h").read_text()
    assert (tmp_path / "firmware/vae_decoder.c").stat().st_size > 1000
    grey = training.Recipe(data=str(tmp_path / "images.npy"), protocol="grey", **small)
    training.train(grey, tmp_path / "grey", console=Console(quiet=True))
    python(KIT, tmp_path / "grey", "--output", tmp_path / "g")
    for name, words in (("firmware", "latents; the prior is StandardNormal"), ("g", "in [0, 1]")):
        assert words in (tmp_path / name / "vae_decoder.h").read_text()
    error = python(KIT, tmp_path / "none", "--output", tmp_path / "f", code=1, text=True).stderr
    assert "There is no run folder" in error
    assert not (tmp_path / "f").exists()
    error = python(KIT, tmp_path, "--output", tmp_path / "f", "--name", "a-b", code=2).stderr
    assert b"C identifier" in error
