"""export/browser: the playground in headless Chromium, its pixels against Python's."""

import contextlib
import functools
import http.server
import json
import os
import shutil
import threading

import numpy as np
import pytest

from consumers.conftest import KITS, absent, need, run
from keras_vae import VAE, likelihoods, networks
from keras_vae.export import tflite

KIT = KITS / "browser"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Stays quiet."""


@pytest.fixture(scope="module")
def site(model, exported, tmp_path_factory):
    """A folder with the page and files to load, served on loopback: (folder, URL)."""
    need("node")
    browser = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not os.access(browser, os.X_OK):
        absent(f"there is no browser {browser} (CHROMIUM names another)")
    for package in ("@litertjs/core", "playwright-core"):
        if not (KIT / "node_modules" / package).is_dir():
            absent(f"{package} is not installed: npm install in export/browser")
    folder = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(KIT, folder, ignore=shutil.ignore_patterns("node_modules", "*.mjs"))
    (folder / "node_modules").symlink_to(KIT / "node_modules")
    for name in ("model.tflite", "model_dynamic_int8.tflite", "model_float16.tflite"):
        shutil.copy(exported / name, folder)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def drive(url, *steps):
    """What each step gave, and what the page complained of."""
    done = run("node", KIT / "drive.mjs", url, input=json.dumps(steps).encode())
    answer = json.loads(done.stdout)
    noise = ("INFO: ", "WARNING: [npu_registry")  # LiteRT's own log
    return answer["results"], [p for p in answer["problems"] if not p.startswith(noise)]


def assert_pixels(received, pictures):
    expected = 255 * np.asarray(pictures, np.float64).reshape(len(received), -1)
    assert np.abs(np.asarray(received) - expected).max() < 0.51


def embedded(model, pictures):
    """As the page does it: the pictures as they are, which `embed` refuses under a Bernoulli."""
    return model.posterior.location(model.encode({"x": pictures})).numpy()


def test_samples_of_a_seed_are_those_of_python(site, model):
    results, problems = drive(
        site[1],
        {"do": "pixels", "at": "#grid canvas"},
        {"do": "click", "at": "#next"},
        {"do": "pixels", "at": "#grid canvas"},
        {"do": "fill", "at": "#seed", "value": "-1"},
        {"do": "pixels", "at": "#grid canvas"},
        {"do": "fill", "at": "#seed", "value": str(2**40 + 3)},
        {"do": "pixels", "at": "#grid canvas"},
    )
    shown = [results[0], *results[2::2]]
    for pixels, seed in zip(shown, (7, 8, -1, 2**40 + 3), strict=True):
        assert_pixels(pixels, model.generate(16, seed))
    assert problems == []


def test_sliders_by_keyboard_and_the_picture_they_give(site, model):
    results, problems = drive(
        site[1],
        {"do": "pixels", "at": "#decoded"},
        {"do": "press", "at": "#sliders input", "nth": 0, "key": "ArrowRight", "times": 20},
        {"do": "press", "at": "#sliders input", "nth": 19, "key": "Home"},
        {"do": "pixels", "at": "#decoded"},
        {"do": "text", "at": "#sliders output"},
        {"do": "press", "at": "#zero", "key": "Enter"},
        {"do": "pixels", "at": "#decoded"},
        {"do": "text", "at": "#time"},
    )
    z = np.zeros((1, 20), np.float32)
    assert_pixels(results[0], model.decode(z).mean())
    assert results[6] == results[0]
    z[0, 0], z[0, 19] = 1.0, -3.0
    assert_pixels(results[3], model.decode(z).mean())
    assert results[4][0] == "1.00"
    assert results[4][19] == "-3.00"
    assert results[7][0].startswith("decoded in ")
    assert problems == []


def test_a_sample_sets_the_sliders_to_its_embedding(site, model):
    results, _ = drive(
        site[1],
        {"do": "click", "at": "#grid button", "nth": 3},
        {"do": "text", "at": "#sliders output"},
        {"do": "pixels", "at": "#decoded"},
    )
    z = embedded(model, model.generate(16, 7)[3:4])
    shown = np.float32([float(value) for value in results[1]])
    np.testing.assert_allclose(shown, z[0], atol=0.026)
    assert_pixels(results[2], model.decode(shown[np.newaxis]).mean())


def test_the_line_between_two_seeds(site, model):
    results, _ = drive(
        site[1],
        {"do": "pixels", "at": "#line"},
        {"do": "fill", "at": "#to", "value": "5"},
        {"do": "fill", "at": "#point", "value": "0.25"},
        {"do": "pixels", "at": "#line"},
    )
    for result, seeds, point in ((results[0], (1, 2), 0.5), (results[3], (1, 5), 0.25)):
        a, b = (embedded(model, model.generate(1, seed)) for seed in seeds)
        assert_pixels(result, model.decode((1 - point) * a + point * b).mean())


@pytest.mark.parametrize(
    ("name", "near"), [("model_dynamic_int8.tflite", 20), ("model_float16.tflite", 2)]
)
def test_smaller_files_run_too(site, model, name, near):
    results, problems = drive(f"{site[1]}?model={name}", {"do": "pixels", "at": "#grid canvas"})
    pictures = 255 * model.generate(16, 7).reshape(16, -1)
    assert np.abs(results[0] - pictures).max() < near
    assert problems == []


@pytest.fixture(scope="module")
def unfit_files(site, model):
    """Files that the page cannot run, by name, with words of the reason."""
    folder, _ = site
    conditional = _conditional()
    table = VAE(*networks.mlp(7, 3, hidden=4), likelihood=likelihoods.Bernoulli())
    tflite(model, folder / "rows.tflite", batch_size=None)
    tflite(model, folder / "integers.tflite", "int8", integer_io=True)
    tflite(model, folder / "encoder.tflite", signatures=["encode"])
    tflite(conditional, folder / "conditional.tflite")
    tflite(table, folder / "table.tflite")
    (folder / "flex.tflite").write_bytes(_with_flex_ops())
    (folder / "text.tflite").write_text("a VAE")
    (folder / "cut.tflite").write_bytes((folder / "model.tflite").read_bytes()[:2000])
    return {
        "rows.tflite": "fixed shapes only.*batch-size 1",
        "integers.tflite": "decode z int8.*without integer inputs",
        "encoder.tflite": "no signature “decode”; its signatures: encode",
        "conditional.tflite": "conditional model (label)",
        "table.tflite": "gives [7], which is no picture",
        "flex.tflite": "ops that are not built into LiteRT: Flex",
        "text.tflite": "not a LiteRT (.tflite) file",
        "cut.tflite": "damaged or cut short",
        "absent.tflite": "There is no absent.tflite (404)",
    }


def _conditional():
    import keras

    z, label = keras.Input((3,), name="z"), keras.Input((2,), name="label")
    dense = keras.layers.Dense(16)(keras.layers.Concatenate()([z, label]))
    decoder = keras.Model([z, label], keras.layers.Reshape((4, 4, 1))(dense))
    encoder, _ = networks.mlp((4, 4, 1), 3, hidden=4)
    return VAE(encoder, decoder, likelihood=likelihoods.Bernoulli(event_rank=3))


def _with_flex_ops() -> bytes:
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32, "z")])
        def decode(self, z):
            noise = tf.random.stateless_normal([1, 4, 4, 1], [1, 2])
            return {"mean": noise + tf.reduce_sum(z)}

    import tempfile

    module = Module()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"decode": module.decode})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, ["decode"])
        ops = tf.lite.OpsSet
        converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS, ops.SELECT_TF_OPS]
        return converter.convert()


def test_unfit_files_are_refused_with_the_reason_and_the_page_goes_on(site, unfit_files, model):
    folder, url = site
    steps = [{"do": "pixels", "at": "#grid canvas"}]
    for name in unfit_files:
        steps.append({"do": "goto", "url": f"{url}?model={name}"})
        steps.append({"do": "text", "at": "#error"})
    steps.append({"do": "open", "path": str(folder / "flex.tflite")})
    steps.append({"do": "text", "at": "#error"})
    steps.append({"do": "open", "path": str(folder / "model.tflite")})
    steps.append({"do": "text", "at": "#error"})
    steps.append({"do": "pixels", "at": "#grid canvas"})
    results, problems = drive(url, *steps)
    for (name, words), texts in zip(
        unfit_files.items(), results[2 : 2 + 2 * len(unfit_files) : 2], strict=True
    ):
        (text,) = texts
        for part in words.split(".*"):
            assert part in text, name
    assert "Flex" in results[-4][0]
    assert results[-2] == [], "no error is shown any more"
    assert results[-1] == results[0], "a file from the disk gives the same pictures"
    assert all("404" in problem for problem in problems), "the absent file's, and no other"


def test_a_seed_that_is_no_integer(site):
    results, _ = drive(
        site[1],
        {"do": "fill", "at": "#seed", "value": "1.5"},
        {"do": "text", "at": "#error"},
        {"do": "fill", "at": "#seed", "value": "3"},
        {"do": "text", "at": "#error"},
    )
    assert "has to be an integer" in results[1][0]
    assert results[3] == []


def test_it_fits_a_phone_and_looks_right(site, tmp_path):
    """No sideways scrolling at 360 pixels, and a screenshot to look at."""
    width = "document.documentElement.scrollWidth"
    results, _ = drive(
        site[1],
        {"do": "screenshot", "path": str(tmp_path / "desktop.png")},
        {"do": "size", "width": 360, "height": 740},
        {"do": "evaluate", "code": width},
        {"do": "screenshot", "path": str(tmp_path / "phone.png")},
        {"do": "text", "at": "h2"},
    )
    assert results[2] <= 360
    assert results[4] == ["Samples", "Latents", "Between two seeds"]
    for name in ("desktop.png", "phone.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    with contextlib.suppress(KeyError):
        shutil.copytree(tmp_path, os.environ["SCREENSHOTS"], dirs_exist_ok=True)
