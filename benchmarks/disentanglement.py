r"""Disentanglement on dSprites: VAE, beta-VAE, BetaTC and FactorVAE with one network, for one time each.

    python benchmarks/disentanglement.py --output benchmarks/results/disentanglement.json

The images are all that the package draws (`data.dsprites`) but 20,000, of which 10,000 are embedded and
scored. A method has `--minutes` of all cores: it ends when that much processor time is spent, so that
what else runs does not matter. `--full` is the published protocol instead: 300,000 updates of 64 images
and ten seeds. Batches are drawn from the stream, so no method sees an image twice within an epoch.
`--pictures FOLDER` adds what each latent dimension does to one image.

It may be stopped at any time: finished rows are kept in `--output`, and an unfinished training goes on
from its last complete chunk of updates in `--folder`.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_vae import VAE, data, likelihoods, networks, objectives, pictures
from keras_vae.applications import control
from keras_vae.evaluation import disentanglement
from keras_vae.training.state import TrainingState

LATENT_DIM = 10
CHUNK = 500  # updates between two states
FULL = {"steps": 300_000, "batch_size": 64, "seeds": 10}

METHODS: dict[str, Callable[[data.Splits], objectives.Objective]] = {
    "VAE": lambda splits: objectives.ELBO(),
    "beta-VAE (4)": lambda splits: objectives.ELBO(beta=4.0),
    "BetaTC (6)": lambda splits: objectives.BetaTC(num_examples=splits.num_train, beta=6.0),
    "FactorVAE (35)": lambda splits: objectives.FactorVAE(
        networks.discriminator(LATENT_DIM), gamma=35.0
    ),
}
PUBLISHED = {"VAE": (0.06, 0.648), "BetaTC (6)": (0.20, 0.756)}
"""MIG and FactorVAE score."""


class Clock(keras.callbacks.Callback):
    """Counts what a training takes, over interruptions, says so, and ends it.

    Args:
        name: of the training.
        minutes: of all cores, in processor time; None: never.

    Attributes:
        history: seconds of the clock, and of all processors, until the end of the last epoch.
    """

    def __init__(self, name: str, minutes: float | None):
        super().__init__()
        self.name = name
        self.most = None if minutes is None else 60 * minutes * (os.cpu_count() or 1)
        self.history = {"wall": 0.0, "processor": 0.0}  # TrainingState keeps what has this name
        self.last = time.perf_counter(), time.process_time()

    def on_epoch_begin(self, epoch, logs=None):
        self.last = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.history["wall"] += time.perf_counter() - self.last[0]
        self.history["processor"] += time.process_time() - self.last[1]
        if self.most is not None and self.history["processor"] >= self.most:
            self.model.stop_training = True
        terms = ", ".join(f"{term} {value:.2f}" for term, value in (logs or {}).items())
        spent = f"{(epoch + 1) * CHUNK:,} updates, {self.history['processor'] / 60:.1f} processor minutes"
        print(f"{self.name}: {spent}, {terms}", file=sys.stderr, flush=True)


def built(splits: data.Splits, objective: objectives.Objective, seed: int, given) -> VAE:
    keras.utils.set_random_seed(seed)
    likelihood = likelihoods.Bernoulli(event_rank=3)
    encoder, decoder = networks.mlp(
        splits.shape,
        LATENT_DIM,
        hidden=given.hidden,
        likelihood=likelihood,
        output_mean=splits.mean,
    )
    vae = VAE(encoder, decoder, likelihood=likelihood, objective=objective, seed=seed)
    optimizer = keras.optimizers.Adam(given.learning_rate)
    vae.compile(optimizer, jit_compile=True, steps_per_execution=20)
    return vae


def trained(name: str, seed: int, given) -> tuple[VAE, data.Splits, dict[str, float]]:
    """A model at the end of its time, and what that was."""
    splits = data.load("dsprites", stream=True, batch_size=given.batch_size, seed=seed)
    vae = built(splits, METHODS[name](splits), seed, given)
    clock = Clock(f"{name}, seed {seed}", None if given.full else given.minutes)
    folder = given.folder / "_".join(map(str, given.settings.values()))
    folder.mkdir(parents=True, exist_ok=True)
    state = TrainingState(folder / f"{name} {seed}", [clock])
    done = state.restore(vae)
    epochs = given.steps // CHUNK
    if not state.stopped and done < epochs:
        vae.fit(
            splits.train_from(done * CHUNK),
            initial_epoch=done,
            epochs=epochs,
            steps_per_epoch=CHUNK,
            callbacks=[clock, state],
            verbose=0,
        )
    minutes = {f"{kind}_minutes": value / 60 for kind, value in clock.history.items()}
    return vae, splits, {"updates": int(vae.step.numpy()), **minutes}


def row(name: str, seed: int, given) -> dict[str, Any]:
    """Scores of a trained model on the test images, and what it cost."""
    vae, splits, cost = trained(name, seed, given)
    x, factors = splits.examples("test"), splits.factors("test")
    found = disentanglement.scores(vae.embed(x), factors, seed=seed)
    losses = vae.evaluate(splits.test, verbose=0, return_dict=True)
    return {
        "method": name,
        "seed": seed,
        **cost,
        "negative_elbo": float(losses["negative_elbo"]),
        **{field: value for field, value in dataclasses.asdict(found).items() if field != "seed"},
        "mutual_information": np.round(found.mutual_information, 4).tolist(),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Means over seeds, with the lowest and the highest, beside the published numbers."""
    lines = [
        "| method | seeds | MIG | published | FactorVAE score | published | -ELBO | updates | minutes on 2 cores |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in METHODS:
        own = [row for row in rows if row["method"] == name]
        if not own:
            continue
        mean = {
            key: np.mean([row[key] for row in own])
            for key, value in own[0].items()
            if isinstance(value, int | float)
        }
        mig, votes = PUBLISHED.get(name, (None, None))
        lines.append(
            f"| {name} | {len(own)} | {_over_seeds(own, 'mig', '.2f')} | {'' if mig is None else f'{mig:.2f}'} | "
            f"{_over_seeds(own, 'factor_vae', '.1%')} | {'' if votes is None else f'{votes:.1%}'} | "
            f"{mean['negative_elbo']:.1f} | {mean['updates']:,.0f} | {mean['processor_minutes'] / 2:.1f} |"
        )
    return "\n".join(lines)


def _over_seeds(rows: list[dict[str, Any]], score: str, form: str) -> str:
    values = [row[score] for row in rows]
    mean = f"{np.mean(values):{form}}"
    return mean if len(rows) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def draw(name: str, folder: Path, given) -> None:
    """Traversals of the first seed's model: a row for each of the dimensions of the largest rates."""
    vae, splits, _ = trained(name, 0, given)
    rows = control.traversals(vae, splits.examples("test", 1000), dims=6)
    folder.mkdir(parents=True, exist_ok=True)
    pictures.save_rows(folder / f"traversals_{re.sub('[^a-z]', '', name.lower())}.png", rows)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=15.0, help="of all cores, for each row")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of every method")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256])
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--full", action="store_true", help=f"the published protocol: {FULL}")
    parser.add_argument("--folder", type=Path, default=Path("runs/disentanglement"))
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of every method")
    parser.set_defaults(steps=10**9)
    given = parser.parse_args()
    if given.full:
        vars(given).update(FULL)
    given.settings = {
        name: getattr(given, name)
        for name in ("minutes", "full", "batch_size", "hidden", "learning_rate")
    }
    kept = json.loads(given.output.read_text()) if given.output and given.output.exists() else {}
    if kept and kept["settings"] != given.settings:
        raise SystemExit(
            f"{given.output} holds rows of other settings. Expected {given.settings}. Received: {kept['settings']}. "
            "Choose another --output."
        )
    rows = kept.get("rows", [])
    for seed in range(given.seeds):
        for name in given.methods:
            if any((row["method"], row["seed"]) == (name, seed) for row in rows):
                continue
            rows.append(row(name, seed, given))
            versions = {
                package: importlib.metadata.version(package)
                for package in ("keras-vae", "keras", "tensorflow", "scikit-learn")
            }
            command = shlex.join(["python", *sys.argv])
            about = {**machine.describe(), "versions": versions, "command": command}
            machine.save({**about, "settings": given.settings, "rows": rows}, given.output)
    if given.pictures:
        for name in given.methods:
            draw(name, given.pictures, given)
    print(markdown(rows))


if __name__ == "__main__":
    main()
