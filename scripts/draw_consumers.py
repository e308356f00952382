"""Draws one seed's pictures as Python, the C program and the browser give them, side by side.

    python scripts/draw_consumers.py --run demo/run

writes docs/images/same_seed.png and, from the same page, export/browser/playground.png. Needs what
`make test-consumers` installs.
"""

import argparse
import functools
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SEED = 7


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_):
        """Stays quiet."""


def from_c(file: Path, folder: Path) -> np.ndarray:
    """The pictures [16, 28, 28, 1] of the C program."""
    kit = shutil.copytree(
        ROOT / "export/litert_c", folder / "c", ignore=shutil.ignore_patterns("vae")
    )
    subprocess.run(["make", "-s", f"PYTHON={sys.executable}"], cwd=kit, check=True)
    command = [kit / "vae", file, "generate", str(SEED), folder / "images.f32"]
    subprocess.run(command, check=True, capture_output=True)
    return np.fromfile(folder / "images.f32", np.float32).reshape(16, 28, 28, 1)


def from_browser(file: Path, folder: Path, screenshot: Path) -> np.ndarray:
    """The pictures that the page shows, and a screenshot of it."""
    site = folder / "site"
    kit = ROOT / "export/browser"
    shutil.copytree(kit, site, ignore=shutil.ignore_patterns("node_modules", "*.mjs"))
    (site / "node_modules").symlink_to(kit / "node_modules")
    shutil.copy(file, site / "model.tflite")
    steps = [
        {"do": "pixels", "at": "#grid canvas"},
        {"do": "click", "at": "#grid button", "nth": 3},
        {"do": "screenshot", "path": str(screenshot)},
    ]
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            ["node", kit / "drive.mjs", f"http://127.0.0.1:{server.server_port}/"],
            input=json.dumps(steps),
            capture_output=True,
            text=True,
            check=True,
        )
        server.shutdown()
    pixels = json.loads(done.stdout)["results"][0]
    return np.reshape(pixels, (16, 28, 28, 1)) / 255


def main():
    """Runs all three, checks that they agree, and draws them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a run folder of 28 x 28 images")
    run = parser.parse_args().run

    from keras_vae import export, pictures, training

    model = training.Run(run).model
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = export.tflite(model, folder / "model.tflite", about={"name": "MNIST"})
        grids = {
            "Python (Keras)": model.generate(16, SEED),
            "C (LiteRT)": from_c(file, folder),
            "browser (LiteRT.js)": from_browser(
                file, folder, ROOT / "export/browser/playground.png"
            ),
        }
    first, *others = grids.values()
    difference = max(float(np.abs(first - other).max()) for other in others)
    print(f"seed {SEED}: largest difference {255 * difference:.2f} grey levels of 255")
    if difference > 0.51 / 255:
        raise SystemExit("the pictures differ")
    pictures.overview(
        ROOT / "docs/images/same_seed.png",
        {title: pictures.image_grid(images, columns=4) for title, images in grids.items()},
    )


if __name__ == "__main__":
    main()
