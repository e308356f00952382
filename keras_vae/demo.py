"""The whole road once: MNIST, training, honest likelihood, pictures, SavedModel, LiteRT, a report."""

import dataclasses
import json
import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from keras_vae import _files, pictures, reports
from keras_vae._parts import check_count, check_positive
from keras_vae.data import Splits
from keras_vae.evaluation import LogLikelihood, log_likelihood
from keras_vae.export import Exported, Parity, export, load
from keras_vae.training import Recipe, Run, train

RECIPE = Recipe(
    data="mnist",
    protocol="dynamic",
    hidden=(400, 400),
    activation="silu",
    latent_dim=40,
    prior="mixture",
    batch_size=250,
    learning_rate=4e-3,
)
_NUM_TEST_IMAGES = 10_000
_PICTURES = ("samples", "reconstructions", "interpolations", "latent_space", "learning_curves")
_ENTRIES = ("report.md", "report.html", "overview.png", *(f"{name}.png" for name in _PICTURES))
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 100


def check_arguments(*, minutes: float, num_samples: int, num_test: int) -> None:
    """Raises `ValueError` for what the demo cannot be run with."""
    check_positive("the demo", minutes=minutes)
    check_count("the demo", num_samples=num_samples, num_test=num_test)
    if num_test > _NUM_TEST_IMAGES:
        raise ValueError(f"num_test has to be at most {_NUM_TEST_IMAGES:,}. Received: {num_test:,}")


def epochs_within(recipe: Recipe, minutes: float) -> int:
    """The number of epochs that fit into a time on this machine, from a measurement of a few dozen
    steps.
    """
    splits = recipe.load_data()
    model = recipe.build(splits)
    steps = model.steps_per_execution
    begun = time.perf_counter()
    model.fit(splits.train, steps_per_epoch=steps, verbose=0)
    compiling = time.perf_counter() - begun
    begun = time.perf_counter()
    rounds = math.ceil(100 / steps)
    model.fit(splits.train, steps_per_epoch=rounds * steps, verbose=0)
    per_epoch = (time.perf_counter() - begun) / (rounds * steps) * splits.steps_per_epoch
    validating = (
        1.15  # an epoch with validation, saving and pictures, against its training steps alone
    )
    fitting = (60 * minutes - compiling) / (validating * per_epoch)
    return int(np.clip(fitting, _FEWEST_EPOCHS, _MOST_EPOCHS))


def run_demo(
    output: str | os.PathLike[str],
    *,
    minutes: float = 2.6,
    epochs: int | None = None,
    num_samples: int = 500,
    num_test: int = 1000,
    seed: int = 0,
    console: Console | None = None,
) -> Path:
    """Trains, evaluates, draws, exports and checks a VAE on the embedded MNIST; writes `report.md`
    and `.html`.

    Args:
        output: the folder to make; an earlier demo there is replaced, anything else refused.
        minutes: time for training; as many epochs as fit are run.
        epochs: run so many epochs instead.
        num_samples: importance samples per example, k.
        num_test: how many test images the likelihood is estimated on.
        seed: of everything.
        console: where progress goes; standard output by default.

    Returns:
        The folder.
    """
    console = console or Console()
    begun = time.perf_counter()
    recipe = dataclasses.replace(RECIPE, epochs=1 if epochs is None else epochs, seed=seed)
    check_arguments(minutes=minutes, num_samples=num_samples, num_test=num_test)
    folder = _files.claim_folder(output, "demo", overwrite=True)
    with _files.publishing(folder, _ENTRIES) as new:
        (new / "config.json").write_text(json.dumps(_files.marker("demo"), indent=2) + "\n")

    if epochs is None:
        console.print("measuring the speed of this machine")
        recipe = dataclasses.replace(recipe, epochs=epochs_within(recipe, minutes))
    training_begun = time.perf_counter()
    run = train(recipe, folder / "run", overwrite=True, console=console)
    training = time.perf_counter() - training_begun

    console.print(f"log p(x) of {num_test:,} test images, {num_samples} importance samples each")
    estimate = log_likelihood(
        run.model, run.data.examples("test", num_test), num_samples, seed=seed
    )
    console.print(str(estimate), highlight=False, soft_wrap=True)

    console.print("exporting, and checking the exported files against the model")
    exported = export(run.model, folder / "export", overwrite=True)
    decoder = load(folder / "export" / "model.tflite")
    _draw(folder, run, run.data, decoder, seed)
    seconds = {"training": training, "whole demo": time.perf_counter() - begun}
    _write_report(folder, run, estimate, exported, seconds)
    console.print(str(folder / "report.html"), markup=False, highlight=False, soft_wrap=True)
    return folder


def _draw(folder: Path, run: Run, splits: Splits, exported: Exported, seed: int):
    """The pictures of the report; samples and interpolations are drawn by the LiteRT decoder."""
    model = run.model
    test, labels = splits.examples("test"), splits.test_labels
    samples = exported("decode", z=model.prior.sample(64, seed))["mean"]
    originals = test[:32]
    digits = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    ends = model.embed(test[digits])
    weights = np.linspace(0, 1, 10, dtype=np.float32)[:, np.newaxis]
    lines = np.concatenate(
        [(1 - weights) * a + weights * b for a, b in zip(ends[:-1:2], ends[1::2], strict=True)]
    )
    grids = {
        "samples": pictures.image_grid(samples, columns=8),
        "reconstructions": pictures.side_by_side(originals, model.reconstruct(originals)),
        "interpolations": pictures.image_grid(exported("decode", z=lines)["mean"], columns=10),
    }
    for name, grid in grids.items():
        pictures.save_png(folder / f"{name}.png", grid, scale=2)
    z = model.embed(test)
    pictures.latent_map(folder / "latent_space.png", z, labels)
    pictures.learning_curves(folder / "learning_curves.png", run.history(), model.objective.monitor)
    pictures.overview(
        folder / "overview.png",
        {
            "samples, drawn by the LiteRT decoder": grids["samples"],
            "test images, and their reconstructions below": grids["reconstructions"],
            "from digit to digit in latent space": grids["interpolations"],
        },
    )


def _write_report(
    folder: Path, run: Run, estimate: LogLikelihood, exported: Parity, seconds: dict[str, float]
):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**30 if sys.platform == "darwin" else 2**20
    )
    files = [folder / "export" / "model.tflite", run.model_path]
    sections = [
        "# A VAE on MNIST, from data to a LiteRT decoder",
        f"**-log p(x) = {-estimate.mean:.2f} ± {estimate.standard_error:.2f} nats** "
        f"({estimate.bits_per_dim:.4f} bits per pixel) on the first {estimate.num_examples:,} test images, "
        f"importance-sampled with k={estimate.num_samples}; the error is that of the mean over images, and the "
        f"Monte Carlo error is {estimate.monte_carlo_error:.3f} nats. Dynamic binarisation, test images drawn once.",
        reports.table(
            ["", ""],
            [
                ("epochs", run.recipe.epochs),
                *((f"{what}, seconds", f"{value:.0f}") for what, value in seconds.items()),
                ("peak memory, GB", f"{peak:.2f}"),
                *(
                    (f"{path.relative_to(folder)}, MB", f"{path.stat().st_size / 1e6:.2f}")
                    for path in files
                ),
            ],
        ),
        "## Samples, drawn by the LiteRT decoder\n\n![samples](samples.png)",
        "## Reconstructions\n\nTest images above, reconstructions below.\n\n![reconstructions](reconstructions.png)",
        "## Interpolations, drawn by the LiteRT decoder\n\n![interpolations](interpolations.png)",
        "## Latent space\n\n![posterior means](latent_space.png)",
        "## Training\n\n![learning curves](learning_curves.png)\n\nRecipe, data and versions: "
        "[run/report.md](run/report.md).",
        "## Exported files against the model\n\n"
        + reports.table(exported.header, (row.cells for row in exported.rows)),
    ]
    _files.write(folder / "report.md", "\n\n".join(sections) + "\n")
    reports.write_html(folder / "report.md", folder / "report.html")
