"""export/litert_c and export/saved_model_c: compiled with gcc, run, and compared with Python."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from consumers.conftest import KITS, need, run


def built(kit, folder):
    need("gcc", "make")
    shutil.copytree(KITS / kit, folder, ignore=shutil.ignore_patterns("vae"))
    run("make", f"PYTHON={sys.executable}", "CC=gcc -Werror", cwd=folder)
    return folder / "vae"


@pytest.fixture(scope="module")
def litert(tmp_path_factory):
    return built("litert_c", tmp_path_factory.mktemp("litert") / "kit")


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return built("saved_model_c", tmp_path_factory.mktemp("saved_model") / "kit")


def numbers(path, *shape):
    return np.fromfile(path, np.float32).reshape(shape)


@pytest.mark.parametrize("seed", [7, -1, 2**40 + 3])
def test_litert_generates_the_pictures_of_the_seed(litert, model, exported, tmp_path, seed):
    run(litert, exported / "model.tflite", "generate", seed, tmp_path / "images.f32")
    images = numbers(tmp_path / "images.f32", 16, 28, 28, 1)
    np.testing.assert_allclose(images, model.generate(16, seed), atol=1e-5)
    run(litert, exported / "model.tflite", "generate", seed, tmp_path / "grid.pgm")
    with Image.open(tmp_path / "grid.pgm") as grid:
        pixels = np.asarray(grid, np.float32)
    tiles = pixels.reshape(4, 28, 4, 28).swapaxes(1, 2).reshape(16, 28, 28)
    assert np.abs(tiles - 255 * images[..., 0]).max() < 0.51


def test_litert_decodes(litert, model, exported, tmp_path, z):
    z.tofile(tmp_path / "z.f32")
    run(litert, exported / "model.tflite", "decode", tmp_path / "z.f32", tmp_path / "images.f32")
    images = numbers(tmp_path / "images.f32", 5, 28, 28, 1)
    np.testing.assert_allclose(images, model.decode(z).mean(), atol=1e-5)


def test_litert_lists_signatures(litert, exported):
    listed = run(litert, exported / "model.tflite", text=True).stdout
    assert "decode: z[1, 20] -> mean[1, 28, 28, 1]" in listed
    assert "generate: seed[2] -> mean[16, 28, 28, 1]" in listed


def test_litert_says_what_is_wrong(litert, exported, tmp_path):
    file, out = exported / "model.tflite", tmp_path / "out.f32"
    (tmp_path / "z.f32").write_bytes(b"\0" * 30)
    np.full(20, np.nan, np.float32).tofile(tmp_path / "nan.f32")
    for arguments, message in (
        ((KITS / "litert_c/vae.c",), "not a LiteRT file"),
        ((file, "generate", 10**30, out), "the seed has to be an integer of 64 bits"),
        ((file, "decode", tmp_path / "nan.f32", out), "NaN or infinite numbers"),
        ((file, "dekode", 7, out), "no such signature: dekode"),
        ((file, "generate", "seven", out), "the seed has to be an integer of 64 bits: seven"),
        ((file, "decode", tmp_path / "none", out), "cannot read"),
        ((file, "decode", tmp_path / "z.f32", out), "a multiple of 80 bytes; 30 were given"),
        ((file, "generate", 7, tmp_path / "none/out.f32"), "cannot write"),
        ((file, "generate"), "usage"),
    ):
        error = run(litert, *arguments, code=1, text=True).stderr
        assert f"vae: {message}" in error or message in error
    assert not out.exists()


def test_litert_never_runs_a_damaged_file(litert, exported, tmp_path):
    """Cut short anywhere, or with any byte changed: an error, no crash, and the old output stays."""
    content = (exported / "model.tflite").read_bytes()
    rng = np.random.default_rng(0)
    out, damaged = tmp_path / "out.pgm", tmp_path / "damaged.tflite"
    out.write_text("old")
    for number in range(24):
        at = int(rng.integers(len(content)))
        changed = bytearray(content)
        changed[at] ^= 1 << rng.integers(8)
        damaged.write_bytes(content[:at] if number % 2 else changed)
        error = run(litert, damaged, "generate", 7, out, code=1, text=True).stderr
        assert "damaged" in error or "cut short" in error
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"out.pgm", "damaged.tflite"}


@pytest.mark.parametrize("seed", [7, -1, 2**40 + 3])
def test_tensorflow_generates_the_pictures_of_the_seed(
    saved_model, model, exported, tmp_path, seed
):
    out = tmp_path / "images.f32"
    run(saved_model, exported / "saved_model/1", "generate", seed, 9, out)
    np.testing.assert_allclose(numbers(out, 9, 28, 28, 1), model.generate(9, seed), atol=1e-5)


def test_tensorflow_decodes(saved_model, model, exported, tmp_path, z):
    z.tofile(tmp_path / "z.f32")
    out = tmp_path / "images.f32"
    said = run(
        saved_model, exported / "saved_model/1", "decode", tmp_path / "z.f32", out, text=True
    )
    assert "[5, 28, 28, 1] float32" in said.stdout
    np.testing.assert_allclose(numbers(out, 5, 28, 28, 1), model.decode(z).mean(), atol=1e-5)


def test_tensorflow_says_what_is_wrong(saved_model, exported, tmp_path):
    folder, out = exported / "saved_model/1", tmp_path / "out.f32"
    (tmp_path / "z.f32").write_bytes(b"\0" * 30)
    np.full(20, np.nan, np.float32).tofile(tmp_path / "nan.f32")
    for arguments, message in (
        ((tmp_path, "generate", 7, 9, out), "Could not find SavedModel"),
        ((folder, "generate", "seven", 9, out), "the seed has to be an integer of 64 bits: seven"),
        ((folder, "decode", tmp_path / "z.f32", out), "holds 30 bytes; a row of latents is 80"),
        ((folder, "dekode", 7, out), "usage"),
        ((folder, "generate", 10**30, 9, out), "the seed has to be an integer of 64 bits"),
        ((folder, "generate", 7, 0, out), "the number has to be an integer of at least 1"),
        ((folder, "generate", 7, 99999999999, out), "the number has to be an integer"),
        ((folder, "decode", tmp_path / "nan.f32", out), "NaN or infinite numbers"),
        ((folder, "generate", 7, 9, tmp_path / "none/out.f32"), "cannot write"),
    ):
        assert message in run(saved_model, *arguments, code=1, text=True).stderr
    assert not out.exists()
