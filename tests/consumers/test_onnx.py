"""export/onnx: ONNX Runtime and NumPy."""

import numpy as np
from PIL import Image

from consumers.conftest import KITS, python

KIT = KITS / "onnx/vae.py"


def test_generate_and_decode(model, exported, tmp_path, z):
    out = tmp_path / "images.npy"
    for seed in (7, -1, 2**40 + 3):
        python(KIT, exported / "onnx", "generate", "--seed", seed, "--number", 9, "--output", out)
        np.testing.assert_allclose(np.load(out), model.generate(9, seed), atol=1e-5)
    np.save(tmp_path / "z.npy", z)
    python(KIT, exported / "onnx", "decode", "--latents", tmp_path / "z.npy", "--output", out)
    np.testing.assert_allclose(np.load(out), model.decode(z).mean(), atol=1e-5)
    python(KIT, exported / "onnx", "generate", "--number", 10, "--output", tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (4 * 28, 3 * 28)
        last = np.asarray(grid, np.float32)[56:84, 28:56]
    assert np.abs(last - 255 * model.generate(10, 0)[9, ..., 0]).max() < 0.51


def test_the_program_says_what_is_wrong(exported, tmp_path, z):
    np.save(tmp_path / "narrow.npy", z[:, :7])
    np.save(tmp_path / "nan.npy", np.nan * z)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "generate.onnx").write_bytes(b"\x08\x07damaged")
    onnx, out = exported / "onnx", tmp_path / "old.npy"
    out.write_text("old")
    for arguments, message in (
        ((tmp_path, "generate"), "no signature 'generate'"),
        ((tmp_path / "damaged", "generate"), "not an ONNX file, or damaged"),
        ((onnx, "generate", "--number", 0), "at least 1"),
        ((onnx, "generate", "--seed", -(2**64)), "64 bits"),
        ((onnx, "decode", "--latents", tmp_path / "narrow.npy"), "decode cannot run"),
        ((onnx, "decode", "--latents", tmp_path / "nan.npy"), "finite"),
    ):
        error = python(KIT, *arguments, "--output", out, code=1, text=True).stderr
        assert error.startswith("vae: ")
        assert message in error
    assert out.read_text() == "old"


def test_tensorflow_is_not_imported(exported):
    program = (
        f"import sys; sys.path.insert(0, {str(KIT.parent)!r}); import vae; "
        f"vae.Vae({str(exported / 'onnx')!r}).generate(2, 7); "
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras')])"
    )
    assert python("-c", program, text=True).stdout.strip() == "[]"
