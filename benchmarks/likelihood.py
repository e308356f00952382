r"""Published log-likelihoods, trained anew: MNIST and Fashion-MNIST, dynamically binarised.

    python benchmarks/likelihood.py --rows 1 2 --work runs/likelihood \
        --output benchmarks/results/likelihood.json

Every row is a recipe of `keras-vae train`, in a run folder of its own below `--work`; a script that was
stopped goes on where it was.

    python benchmarks/likelihood.py --peers --minutes 10 --torch-python .venv-torch/bin/python \
        --rapidae-python .venv-rapidae/bin/python --output benchmarks/results/likelihood.json

Equal compute: the 784-512-20 network, batch 128, trained for as many minutes on two cores by keras_vae,
pythae and rapidae, one after the other; keras_vae's estimator on the weights of each. The others take
arrays, so their training pixels are drawn once; a row of keras_vae's on the same arrays tells what that
costs. The test set is binarised once; log p(x) is estimated with k = 5,000
importance samples on all of it. Minutes are processor time of training (validation included) over the
number of cores, which other programs on the machine do not change; by the clock it takes a little longer.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import machine
import numpy as np
from contest import interpreter, report  # before what is in peers/
from task import TASKS

from keras_vae import VAE, _files, data, likelihoods, networks
from keras_vae.evaluation import bound, log_likelihood
from keras_vae.training import Recipe, Run, resume, train

PASSES = 5  # over the training data between two validations


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A published number, and the recipe that is to reach it.

    Attributes:
        name: what is trained.
        published: its negative log-likelihood on the test set, nats; None where nobody published it.
        source: whose number that is.
        target: what is to be reached within so many minutes on two cores.
        passes: over the training data.
    """

    name: str
    published: float | None
    source: str
    target: float
    minutes: float
    passes: int
    recipe: Recipe


IWAE = "Burda et al., arXiv:1509.00519"
EXEMPLAR = "Norouzi et al., arXiv:2004.04795"
TANH = {"hidden": (200, 200), "activation": "tanh", "latent_dim": 50, "learning_rate": 4e-3}
GATED = {"hidden": (300, 300), "activation": "glu", "latent_dim": 40}
VAMP = {"prior": "vamp", "num_components": 500, "batch_size": 500, "learning_rate": 3e-3}


def row(name, published, source, target, minutes, passes, **options) -> Row:
    options = {"protocol": "dynamic", "batch_size": 250, "learning_rate": 2e-3, **options}
    return Row(
        name=name,
        published=published,
        source=source,
        target=target,
        minutes=minutes,
        passes=passes,
        recipe=Recipe(**options),
    )


def rows(folder: Path | None) -> dict[str, Row]:
    """By number; those of Fashion-MNIST need the folder of its IDX files."""
    found = {
        "1": row("784-200-200-50 tanh", 86.76, IWAE, 87.2, 45, 700, **TANH),
        "2": row(
            "784-200-200-50 tanh, IWAE-5", 85.54, IWAE, 86.4, 60, 550, objective="iwae", **TANH
        ),
        "3": row("gated 300-300, z 40", 84.45, EXEMPLAR, 85.5, 60, 400, **GATED),
        "4": row("gated 300-300, z 40, VampPrior", 82.43, EXEMPLAR, 84.0, 60, 240, **GATED, **VAMP),
        "5": row(
            "gated 300-300, z 40, VampPrior, DReG-5",
            None,
            "",
            82.4,
            150,
            300,
            objective="dreg",
            **GATED,
            **VAMP,
        ),
    }
    if folder is not None:
        data = {"data": str(folder)}
        found["6"] = row(
            "Fashion-MNIST, gated 300-300, z 40", 228.70, EXEMPLAR, 230.2, 30, 600, **GATED, **data
        )
        found["6v"] = row(
            "Fashion-MNIST, gated 300-300, z 40, VampPrior",
            227.35,
            EXEMPLAR,
            228.85,
            30,
            400,
            **GATED,
            **VAMP,
            **data,
        )
    return found


class Clock(keras.callbacks.Callback):
    """Adds what every epoch costs to a file, in seconds of processor and of wall time."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.spent = json.loads(path.read_text()) if path.exists() else {"cpu": 0.0, "wall": 0.0}
        self.last = self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        return {"cpu": time.process_time(), "wall": time.perf_counter()}

    def on_train_begin(self, logs=None):
        self.last = self._now()

    def on_epoch_end(self, epoch, logs=None):
        now = self._now()
        self.spent = {key: self.spent[key] + now[key] - self.last[key] for key in now}
        self.last = now
        _files.write(self.path, json.dumps(self.spent))


def trained(number: str, of: Row, share: float, work: Path) -> tuple[Run, Clock]:
    """The finished run of a row, gone on with where it was stopped."""
    passes = max(PASSES, round(share * of.passes / PASSES) * PASSES)
    folder = work / f"row-{number}-{passes}"
    clock = Clock(work / f"{folder.name}.clock.json")
    work.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        return resume(folder, callbacks=[clock]), clock
    per_pass = of.recipe.load_data().num_train // of.recipe.batch_size
    epochs = {"epochs": passes // PASSES, "steps_per_epoch": PASSES * per_pass}
    return train(dataclasses.replace(of.recipe, **epochs), folder, callbacks=[clock]), clock


def whole(recipe: dict) -> dict:
    """A recipe as JSON gives it back, with the options that are newer than it."""
    return json.loads(json.dumps(Recipe.from_json(recipe).to_json()))  # its tuples become lists


def question(of: Row, run: Run, num_samples: int, limit: int | None) -> dict:
    """What is estimated of which model, as JSON gives it back."""
    data = {"data": os.path.relpath(of.recipe.data)} if os.path.isabs(run.recipe.data) else {}
    return {
        "recipe": whole({**run.recipe.to_json(), **data}),
        "num_samples": num_samples,
        "num_examples": min(limit or run.data.num_test, run.data.num_test),
    }


def measured(of: Row, run: Run, clock: Clock, asked: dict) -> dict:
    """Log p(x) of the test set, the bounds below it, and what the row cost."""
    x = run.data.examples("test", asked["num_examples"])
    history = run.history()
    monitor = f"val_{run.model.objective.monitor}"
    estimate = log_likelihood(run.model, x, asked["num_samples"])
    return {
        "name": of.name,
        "published": of.published,
        "source": of.source,
        "target": of.target,
        "within": of.minutes,
        "nll": -estimate.mean,
        "standard_error": estimate.standard_error,
        "negative_elbo": float(bound(run.model, x).negative_elbo.mean()),
        "nll_5": -log_likelihood(run.model, x, 5).mean,
        "epochs": PASSES * len(history["epoch"]),
        "minutes": clock.spent["cpu"] / 60 / (os.cpu_count() or 1),
        "wall_minutes": clock.spent["wall"] / 60,
        "command": " ".join(["python", *sys.argv]),
        "seed": run.recipe.seed,
        "test_sha256": run.data.fingerprints["test"],
        "versions": run.config["versions"],
        "curve": [round(value, 2) for value in history[monitor]],
    }


PEERS = {
    "keras_vae": ("nll_ours.py", ("dynamic",), "own"),
    "pythae": ("nll_pythae.py", (), "torch"),
    "rapidae": ("nll_rapidae.py", (), "rapidae"),
    "keras_vae, pixels drawn once": ("nll_ours.py", ("static",), "own"),
}


def with_weights(path: str) -> VAE:
    """keras_vae's model of the classic network, with the weights that a peer has left."""
    task, likelihood = TASKS["mlp"], likelihoods.Bernoulli(event_rank=3)
    vae = VAE(
        *networks.mlp(task.shape, task.latent_dim, hidden=task.hidden, likelihood=likelihood),
        likelihood=likelihood,
    )
    with np.load(path) as arrays:
        weights = [arrays[name] for name in arrays.files]
    vae.encoder.set_weights(weights[: len(weights) // 2])
    vae.decoder.set_weights(weights[len(weights) // 2 :])
    return vae


def compete(
    pythons: dict[str, str | None],
    minutes: float,
    num_samples: int,
    limit: int | None,
    known: dict[str, dict],
):
    """Yields the name and the numbers of one peer after the other, but those that are known."""
    with tempfile.TemporaryDirectory() as folder:
        once = data.load("mnist", protocol="static")
        np.savez(f"{folder}/images.npz", **{name: once.examples(name) for name in once.stored})
        test = data.load("mnist", protocol="dynamic").examples("test", limit)
        seconds = str(minutes * 60 * 2)
        asked = {"minutes": minutes, "num_samples": num_samples, "num_examples": len(test)}
        for name, (program, arguments, environment) in PEERS.items():
            python = pythons[environment]
            if python is None or asked.items() <= known.get(name, {}).items():
                continue
            done = report(python, program, folder, seconds, *arguments)
            estimate = log_likelihood(with_weights(done.pop("weights")), test, num_samples)
            yield (
                name,
                {
                    "nll": -estimate.mean,
                    "standard_error": estimate.standard_error,
                    **asked,
                    **done,
                },
            )


def peers_markdown(peers: dict[str, dict]) -> str:
    lines = ["| | -log p(x) | epochs | minutes on 2 cores |", "|---|---|---|---|"]
    for name, of in peers.items():
        lines.append(
            f"| {name} | {of['nll']:.2f} ± {of['standard_error']:.2f} | {of['epochs']} | "
            f"{of['cpu_seconds'] / 120:.1f} |"
        )
    return "\n".join(lines)


def markdown(results: dict[str, dict]) -> str:
    lines = [
        "| row | model | published | ours | with k = 5 | -ELBO | epochs | minutes on 2 cores |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, of in sorted(results.items()):
        published = "-" if of["published"] is None else f"{of['published']:.2f}"
        lines.append(
            f"| {number} | {of['name']} | {published} | **{of['nll']:.2f}** ± {of['standard_error']:.2f} | "
            f"{of['nll_5']:.2f} | {of['negative_elbo']:.2f} | {of['epochs']:,} | {of['minutes']:.0f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=["1", "2", "3", "4", "5"])
    parser.add_argument("--data-dir", type=Path, help="holds fashion_mnist/, for rows 6 and 6v")
    parser.add_argument("--share", type=float, default=1.0, help="of a row's passes, for less time")
    parser.add_argument("--num-samples", type=int, default=5000, help="importance samples k")
    parser.add_argument("--limit", type=int, help="only the first so many test images")
    parser.add_argument("--work", type=Path, default=Path("runs/likelihood"))
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--peers", action="store_true", help="equal compute, instead of the rows")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training for each peer")
    parser.add_argument(
        "--torch-python", type=interpreter, help="an interpreter with torch and pythae"
    )
    parser.add_argument("--rapidae-python", type=interpreter, help="an interpreter with rapidae")
    given = parser.parse_args()
    known = rows(given.data_dir / "fashion_mnist" if given.data_dir else None)
    if unknown := set(given.rows) - set(known):
        parser.error(f"no row {', '.join(sorted(unknown))}; of {', '.join(known)}")
    kept = json.loads(given.output.read_text()) if given.output and given.output.exists() else {}
    results, peers = kept.get("rows", {}), kept.get("peers", {})
    results = {number: {**of, "recipe": whole(of["recipe"])} for number, of in results.items()}
    if given.peers:
        pythons = {
            "own": sys.executable,
            "torch": given.torch_python,
            "rapidae": given.rapidae_python,
        }
        for name, of in compete(
            pythons, given.minutes, given.num_samples, given.limit, dict(peers)
        ):
            peers[name] = of
            machine.save({**machine.describe(), "rows": results, "peers": peers}, given.output)
        print(peers_markdown(peers))
        return
    for number in given.rows:
        run, clock = trained(number, known[number], given.share, given.work)
        asked = question(known[number], run, given.num_samples, given.limit)
        if asked.items() <= results.get(number, {}).items():
            continue
        results[number] = {**asked, **measured(known[number], run, clock, asked)}
        machine.save({**machine.describe(), "rows": results, "peers": peers}, given.output)
    print(markdown(results))


if __name__ == "__main__":
    main()
