"""export/litert_python: a decoder without TensorFlow."""

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

from consumers.conftest import KITS, QUANTIZATIONS, python

KIT = KITS / "litert_python/vae.py"
# Largest differences from the live model, of pictures of a network with random weights.
NEAR = {None: 1e-5, "float16": 5e-3, "dynamic_int8": 0.1, "int8": 0.2, "int4": 0.9}


def file_of(exported, quantization):
    return exported / (f"model_{quantization}.tflite" if quantization else "model.tflite")


@pytest.fixture(scope="module")
def kit():
    spec = importlib.util.spec_from_file_location("litert_python_vae", KIT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_file_and_signature(kit, model, exported, quantization, z, x):
    vae = kit.Vae(file_of(exported, quantization))
    near = NEAR[quantization]
    np.testing.assert_allclose(vae.decode(z), model.decode(z).mean(), atol=near)
    encoded = vae.encode(x)
    q, _ = model.infer(x)
    np.testing.assert_allclose(encoded["location"], q.mean(), atol=5 * near)
    assert ("stddev" in encoded) == (quantization != "int8")
    if quantization != "int8":
        np.testing.assert_allclose(encoded["stddev"], q.stddev(), atol=5 * near)
        for seed in (7, -1, 2**40):
            np.testing.assert_allclose(vae.generate(seed), model.generate(16, seed), atol=near)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_compiled_model_gives_what_the_interpreter_gives(kit, exported, quantization, z, x):
    """LiteRT's newer interface, on the same files: a buffer in, a buffer out."""
    from ai_edge_litert.compiled_model import CompiledModel

    path = file_of(exported, quantization)
    compiled, interpreted = CompiledModel.from_file(str(path)), kit.Vae(path)
    seed = np.array([7, 0], np.int32)
    inputs = {"decode": ("z", z[:1]), "encode": ("x", x[:1]), "generate": ("seed", seed)}
    for signature, ends in compiled.get_signature_list().items():
        name, value = inputs[signature]
        given = compiled.create_input_buffer_by_name(signature, name)
        given.write(value)
        outputs = {
            key: compiled.create_output_buffer_by_name(signature, key) for key in ends["outputs"]
        }
        compiled.run_by_name(signature, {name: given}, outputs)
        expected = interpreted._runners[signature](**{name: value})
        for key, buffer in outputs.items():
            got = buffer.read(expected[key].size, np.float32)
            np.testing.assert_allclose(got, expected[key].ravel(), atol=1e-5)


def test_the_program_lists_generates_decodes_and_encodes(model, exported, tmp_path, z, x):
    np.save(tmp_path / "z.npy", z)
    np.save(tmp_path / "x.npy", x)
    file = exported / "model.tflite"
    listed = python(KIT, file, text=True).stdout
    assert "decode(z) -> mean" in listed
    python(KIT, file, "generate", "--seed", 7, "--output", tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        pixels = np.asarray(grid)[::2, ::2]
    first = np.round(255 * model.generate(16, 7)[0, ..., 0])
    assert np.abs(pixels[2:30, 2:30] - first).max() <= 1
    python(KIT, file, "decode", "--latents", tmp_path / "z.npy", "--output", tmp_path / "d.npy")
    np.testing.assert_allclose(np.load(tmp_path / "d.npy"), model.decode(z).mean(), atol=1e-5)
    python(KIT, file, "encode", "--input", tmp_path / "x.npy", "--output", tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as encoded:
        np.testing.assert_allclose(encoded["location"], model.embed(x), atol=1e-5)
    assert b"needs --output" in python(KIT, file, "generate", code=2).stderr
    assert b"needs --latents" in python(KIT, file, "decode", "--output", "d.npy", code=2).stderr


def test_the_program_says_what_is_wrong(exported, tmp_path, z):
    arrays = {"z": z, "narrow": z[:, :7], "nan": np.nan * z, "none": z[:0]}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    content = (exported / "model.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "changed.tflite").write_bytes(content[:-9] + b"123456789")
    file, out = exported / "model.tflite", tmp_path / "old.npy"
    out.write_text("old")
    for arguments, message in (
        ((tmp_path / "nowhere.tflite",), "nowhere.tflite"),
        ((KIT,), "not a LiteRT file"),
        ((tmp_path / "cut.tflite",), "damaged"),
        ((tmp_path / "changed.tflite",), "damaged"),
        ((exported / "model_int8.tflite", "generate"), "no signature 'generate', but ['decode'"),
        ((file, "generate", "--seed", 2**64), "64 bits"),
        (
            (file, "decode", "--latents", tmp_path / "narrow.npy"),
            "shape ['rows', 20]. Received: [5, 7]",
        ),
        ((file, "decode", "--latents", tmp_path / "nan.npy"), "finite"),
        ((file, "decode", "--latents", tmp_path / "none.npy"), "Received: [0, 20]"),
        ((file, "decode", "--latents", tmp_path / "nowhere.npy"), "nowhere.npy"),
    ):
        error = python(KIT, *arguments, "--output", out, code=1, text=True).stderr
        assert "Traceback" not in error
        assert error.splitlines()[-1].startswith("vae: ")
        assert message in error
    assert out.read_text() == "old"


def test_tensorflow_is_not_imported(exported):
    program = (
        f"import sys; sys.path.insert(0, {str(KIT.parent)!r}); import vae; "
        f"vae.Vae({str(exported / 'model.tflite')!r}).generate(7); "
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras')])"
    )
    assert python("-c", program, text=True).stdout.strip() == "[]"
    assert "tensorflow" in sys.modules, "this process has it"
