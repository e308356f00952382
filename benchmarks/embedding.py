r"""What embeddings are good for: a linear probe and 5 nearest neighbours on few and on many labels.

    python benchmarks/embedding.py --umap-python .venv-umap/bin/python \
        --output benchmarks/results/embedding.json

Every representation is learned from all training images of MNIST without their labels, and has the
same size (raw pixels have 784). From it, a logistic regression (C=1) and a 5-nearest-neighbours
classifier are fitted to 100, 1,000 or all labels; the labelled examples are drawn anew, the same
number of each class, for every draw. Accuracy is over all 10,000 test images. Features are divided
by one number, their common standard deviation, so that C means the same for all.
"""

import argparse
import functools
import os
import sys
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
from contest import interpreter, report

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from keras_vae import data
from keras_vae.applications import Embedder

PROBES = {
    "linear": lambda: LogisticRegression(max_iter=300),
    "5-NN": lambda: KNeighborsClassifier(5),
}
ALL = 0
LABELS = {100: 10, 1000: 5, ALL: 1}
"""Number of labels, and how often they are drawn."""


def by_vae(protocol: str, train: np.ndarray, test: np.ndarray, given) -> tuple[np.ndarray, ...]:
    embedder = Embedder(
        latent_dim=given.size,
        epochs=given.epochs,
        beta=given.beta,
        protocol=protocol,
        random_state=given.seed,
    ).fit(train)
    return embedder.transform(train), embedder.transform(test)


def by_pca(train: np.ndarray, test: np.ndarray, given) -> tuple[np.ndarray, ...]:
    flat = [images.reshape(len(images), -1) for images in (train, test)]
    pca = PCA(given.size, random_state=given.seed).fit(flat[0])
    return pca.transform(flat[0]), pca.transform(flat[1])


def by_pixels(train: np.ndarray, test: np.ndarray, given) -> tuple[np.ndarray, ...]:
    return train.reshape(len(train), -1), test.reshape(len(test), -1)


def by_umap(train: np.ndarray, test: np.ndarray, given) -> tuple[np.ndarray, ...]:
    with tempfile.TemporaryDirectory() as folder:
        images, embedded = Path(folder) / "images.npz", Path(folder) / "embedded.npz"
        np.savez(images, train=train, test=test)
        report(given.umap_python, "embed_umap.py", str(images), str(given.size), str(embedded))
        with np.load(embedded) as arrays:
            return arrays["train"], arrays["test"]


CONTESTANTS = {
    "VAE of binarised pixels": functools.partial(by_vae, "dynamic"),
    "VAE of grey pixels": functools.partial(by_vae, "grey"),
    "PCA": by_pca,
    "raw pixels": by_pixels,
    "UMAP": by_umap,
}


def kept(path: Path, embed, *arguments) -> tuple[np.ndarray, np.ndarray, float]:
    """Embeddings of the training and the test images and the seconds they took; from the file if it is
    there.
    """
    if not path.exists():
        begun = time.perf_counter()
        train, test = embed(*arguments)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, train=train, test=test, seconds=time.perf_counter() - begun)
    with np.load(path) as arrays:
        return arrays["train"], arrays["test"], float(arrays["seconds"])


def drawn(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Which examples have a label: so many, the same number of each class, or all."""
    if number == ALL:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == c), number // len(classes), False) for c in classes]
    )


def accuracies(z: list[np.ndarray], labels: tuple[np.ndarray, np.ndarray]) -> dict:
    """Accuracy on the test examples, for every probe, number of labels and draw."""
    scale = z[0].std(axis=0)
    train, test = (part / np.sqrt(np.mean(scale**2)) for part in z)
    results: dict[str, dict[str, list[float]]] = {}
    for number, draws in LABELS.items():
        for seed in range(draws):
            rows = drawn(labels[0], number, seed)
            for name, probe in PROBES.items():
                fitted = probe().fit(train[rows], labels[0][rows])
                each = results.setdefault(name, {}).setdefault(str(number or "all"), [])
                each.append(float(fitted.score(test, labels[1])))
    return results


def table(results: dict[str, dict]) -> str:
    columns = [(probe, str(n or "all")) for probe in PROBES for n in LABELS]
    titles = [f"{probe}, {number} labels" for probe, number in columns]
    lines = [
        "| | size | seconds | " + " | ".join(titles) + " |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for name, row in results.items():
        cells = []
        for probe, number in columns:
            values = 100 * np.array(row["accuracy"][probe][number])
            spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.1f}{spread}")
        lines.append(f"| {name} | {row['size']} | {row['seconds']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=16, help="of the embeddings")
    parser.add_argument("--epochs", type=int, default=20, help="of the VAE")
    parser.add_argument("--beta", type=float, default=1.0, help="of the VAE")
    parser.add_argument("--examples", type=int, help="only the first training images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--umap-python", type=interpreter, help="an interpreter with umap-learn")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("embeddings"),
        help="keeps the embeddings, and goes on from those that are there",
    )
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    mnist = data.load("mnist", protocol="grey")
    train, test = mnist.examples("train", given.examples), mnist.examples("test")
    labels = mnist.train_labels[: len(train)], mnist.test_labels
    results = {}
    for name, embed in CONTESTANTS.items():
        if name == "UMAP" and not given.umap_python:
            continue
        *z, seconds = kept(given.folder / f"{name}.npz", embed, train, test, given)
        print(f"{name}: embedded in {seconds:.0f} s", file=sys.stderr, flush=True)
        results[name] = {
            "size": z[0].shape[1],
            "seconds": seconds,
            "accuracy": accuracies(z, labels),
        }
        settings = {
            key: value for key, value in vars(given).items() if isinstance(value, int | float)
        }
        machine.save({**machine.describe(), **settings, "results": results}, given.output)
    print(table(results))


if __name__ == "__main__":
    main()
