r"""Super-resolution of MNIST, 7 x 7 and 14 x 14 to 28 x 28, beside bicubic and a plain regression.

    python benchmarks/restoration.py --runs runs/restoration --output benchmarks/results/restoration.json

PSNR and SSIM are means over test images, of the mean of the answers; log p(x|low) is a density of
grey values in [0, 1], of a Normal with one scale for all pixels each: learned with the VAE (importance
sampling from its posterior), fitted to the training images for the others. Runs that are finished are
not trained again.
"""

import argparse
import math
import os
import time
from pathlib import Path

import machine

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_vae import data, evaluation
from keras_vae.applications.restoration import mean_and_spread, psnr, restore, ssim
from keras_vae.training import Recipe, Run, train
from keras_vae.training.recipe import adam

FACTORS = (4, 2)
PRIORS = ("conditional-normal", "normal")
HIDDEN = (512,)
FITTED = 5000  # training images that a scale is fitted to


def trained(folder: Path, factor: int, prior: str, epochs: int) -> Run:
    """The finished run, trained if there is none."""
    path = folder / f"downscaled-{factor}-{prior}"
    if not (path / "report.md").exists():
        recipe = Recipe(
            protocol="grey",
            condition=f"downscaled-{factor}",
            likelihood="shared-scale-normal",
            prior=prior,
            latent_dim=16,
            hidden=HIDDEN,
            epochs=epochs,
        )
        train(recipe, path, overwrite=True)
    return Run(path)


def bicubic(low: np.ndarray) -> np.ndarray:
    return np.clip(tf.image.resize(low, (28, 28), "bicubic").numpy(), 0.0, 1.0)


def regression(folder: Path, factor: int, epochs: int) -> keras.Model:
    """Low to high by least squares, with the decoder's hidden layers."""
    path = folder / f"regression-{factor}.keras"
    if path.exists():
        return keras.models.load_model(path)
    splits = data.load("mnist", protocol="grey", condition=f"downscaled-{factor}")
    keras.utils.set_random_seed(0)
    low = keras.Input(splits.conditions["low"])
    h = keras.layers.Flatten()(low)
    for units in HIDDEN[::-1]:
        h = keras.layers.Dense(units, "relu")(h)
    model = keras.Model(low, keras.layers.Reshape((28, 28, 1))(keras.layers.Dense(784)(h)))
    steps = epochs * splits.steps_per_epoch
    model.compile(
        adam(2e-3, steps), "mse", jit_compile=True, steps_per_execution=splits.steps_per_execution
    )
    pairs = splits.train.map(lambda batch: (batch["low"], batch["x"]))
    model.fit(pairs, epochs=epochs, steps_per_epoch=splits.steps_per_epoch, verbose=0)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def density(estimate, fitted: dict, test: dict) -> float:
    """Mean log N(x; estimate(low), scale^2), nats per image, its one scale fitted to training images."""
    variance = float(np.mean((fitted["x"] - estimate(fitted["low"])) ** 2))
    errors = np.sum((test["x"] - estimate(test["low"])) ** 2, axis=(1, 2, 3))
    size = math.prod(test["x"].shape[1:])
    return float(np.mean(-0.5 * errors / variance)) - 0.5 * size * math.log(2 * math.pi * variance)


def row(name: str, x: np.ndarray, restored: np.ndarray, **others) -> dict:
    return {
        "name": name,
        "psnr": float(psnr(x, restored).mean()),
        "ssim": float(ssim(x, restored).mean()),
        **others,
    }


def measured(factor: int, given) -> list[dict]:
    """The rows of one factor."""
    splits = data.load("mnist", protocol="grey", condition=f"downscaled-{factor}")
    test, fitted = splits.examples("test", given.examples), splits.examples("train", FITTED)
    scored = {name: array[: given.scored] for name, array in test.items()}
    x, low = test["x"], test["low"]
    rows = [row("bicubic", x, bicubic(low), log_p=density(bicubic, fitted, scored))]

    start = time.perf_counter()
    network = regression(given.runs, factor, given.epochs)
    print(f"regression: {time.perf_counter() - start:.0f} s", flush=True)

    def regressed(low):
        return network.predict(low, batch_size=500, verbose=0)

    rows.append(
        row(
            "regression",
            x,
            regressed(low),
            log_p=density(regressed, fitted, scored),
            weights=network.count_params(),
        )
    )
    for prior in PRIORS:
        run = trained(given.runs, factor, prior, given.epochs)
        vae = run.model
        mean, spread = mean_and_spread(vae, {"low": low}, given.num_answers)
        estimate = evaluation.log_likelihood(vae, scored, given.num_samples, progress=False)
        told = vae.decoder.count_params() + (vae.prior.count_params() if vae.prior.network else 0)
        first = restore(vae, {"low": low}, 1)[0]
        rows.append(
            row(
                f"VAE, prior {prior}",
                x,
                mean,
                log_p=estimate.mean,
                spread=float(spread.mean()),
                largest_spread=float(spread.max(axis=(1, 2, 3)).mean()),
                first_psnr=float(psnr(x, first).mean()),
                scale=float(vae.likelihood.scale),
                weights=told,
            )
        )
        print(rows[-1], flush=True)
    return rows


def table(results: dict[str, list[dict]]) -> str:
    lines = [
        "| | PSNR | SSIM | log p(x given low) | spread | largest | PSNR of one answer | weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for factor, rows in results.items():
        for each in rows:

            def cell(name, form, each=each):
                return format(each[name], form) if name in each else ""

            lines.append(
                f"| x{factor}: {each['name']} | {each['psnr']:.2f} dB | {each['ssim']:.3f} | {each['log_p']:.1f} | "
                f"{cell('spread', '.4f')} | {cell('largest_spread', '.3f')} | {cell('first_psnr', '.2f')} | "
                f"{cell('weights', ',')} |"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/restoration"))
    parser.add_argument("--epochs", type=int, default=8, help="of every network")
    parser.add_argument(
        "--examples", type=int, default=10_000, help="test images for PSNR and SSIM"
    )
    parser.add_argument("--num-answers", type=int, default=32)
    parser.add_argument("--scored", type=int, default=1000, help="test images for log p(x|low)")
    parser.add_argument("--num-samples", type=int, default=500, help="importance samples k")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    results = {f"{factor}": measured(factor, given) for factor in FACTORS}
    options = {name: value for name, value in vars(given).items() if name not in ("runs", "output")}
    machine.save({**machine.describe(), **options, "factors": results}, given.output)
    print(table(results))


if __name__ == "__main__":
    main()
