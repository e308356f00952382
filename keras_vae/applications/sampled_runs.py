"""How like a run's data the samples of its model are."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae._parts import name_of
from keras_vae.evaluation import FeatureSpace, SampleQuality, sample_quality, train_features
from keras_vae.models import VAE, load_model, num_rows, x_of
from keras_vae.noise import as_seed, normals, threefry
from keras_vae.training import Run
from keras_vae.training.results import examples, some

__all__ = ["feature_space", "run_quality", "why_no_quality"]

_FEWEST, _MOST_CLASSES, _MOST_TRAINED = 50, 100, 60_000  # examples, classes, training examples
_FEWEST_COMPARED = 6  # by `sample_quality`
_POOL = 20_000  # examples to choose from
_ROWS = 500  # drawn at once


def why_no_quality(
    run: Run, split: str, num_examples: int, file: str | os.PathLike[str] | None = None
) -> str:
    """Why the samples of a run cannot be compared with a split, in features of a file or of a classifier;
    "" where they can.
    """
    data = run.data
    if data.columns:
        return "the data are a table; `keras-vae synthesize` reports on synthetic rows."
    if num_examples < _FEWEST:
        return f"of {num_examples} examples; {_FEWEST} are needed."
    if file is not None:
        return ""
    if data.train_labels is None or _unseen(run, split) is None:
        return (
            "the data have no labels to train a classifier on. --features takes another's features."
        )
    num_classes = len(np.unique(_labels(run, "train")))
    if not 2 <= num_classes <= _MOST_CLASSES:
        return f"the number of classes is {num_classes}; 2 to {_MOST_CLASSES} are needed."
    return ""


def feature_space(
    run: Run, split: str, file: str | os.PathLike[str] | None = None, seed: int = 0
) -> FeatureSpace:
    """The features of a classifier trained on a run's data, or those of a file.

    Args:
        run: the run.
        split: what the classifier's accuracy is measured on; another in place of "train".
        file: a .keras network, x [N, *event] -> features [N, F], such as another run's
            evaluation/features.keras; None: one is trained.
        seed: of the classifier.
    """
    if file is None:
        if (unseen := _unseen(run, split)) is None:
            raise ValueError(
                f"The accuracy of a classifier takes labelled examples that it has not seen. {run.data.name!r} has "
                "none beside those it is trained on."
            )
        return train_features(*_labelled(run, "train"), _labelled(run, unseen), seed=seed)
    network: Any = load_model(file)
    shapes = getattr(network, "input_shape", ()), getattr(network, "output_shape", ())
    if shapes[0] != (None, *run.data.shape) or len(shapes[1]) != 2:
        raise ValueError(
            f"{file} has to be a network from examples (batch, {', '.join(map(str, run.data.shape))}) to features "
            f"(batch, F). Received a {name_of(network)} from {shapes[0]} to {shapes[1]}."
        )
    return FeatureSpace(network=network, about=os.fspath(file))


def run_quality(
    run: Run, split: str, number: int, features: FeatureSpace, seed: int = 0
) -> dict[str, SampleQuality]:
    """Compares examples of a split with as many "generated" ones, and with as many real ones of another split.

    Real ones are chosen at random: the first of a split need not be like the others (MNIST's test
    digits are not). Generated are x ~ p(x|z), z ~ p(z), not the locations that `generate` shows, under
    the conditions of the real ones. What real examples of another split reach is what can be reached;
    they are not of the training split, which the classifier knows, if a third is not tiny, and left out where
    other splits have too few to measure. All numbers are the same, fewer than asked for where that split has no
    more: the measures depend on them.
    """
    others = [name for name in ("validation", "test", "train") if name in run.data.stored]
    others = {name: len(run.data.stored[name]) for name in others if name != split}
    others = {name: size for name, size in others.items() if size >= _FEWEST_COMPARED}
    enough = (name for name, size in others.items() if size >= _FEWEST)
    other = next(enough, None) or max(others, key=others.__getitem__, default=None)
    number = min(number, others[other]) if other else number
    real = _chosen(run, split, number, seed)
    compared = {"generated": _drawn(run.model, real, seed)}
    if other:
        compared[f"real, {other}"] = x_of(_chosen(run, other, number, seed))
    return {name: sample_quality(x_of(real), each, features) for name, each in compared.items()}


def _chosen(run: Run, split: str, number: int, seed: int):
    return some(examples(run.data, split, _POOL), number, seed)[0]


def _unseen(run: Run, split: str) -> str | None:
    """The split of labelled examples to measure a classifier on: this one, if it is not trained on."""
    names = [name for name in (split, "test", "validation") if name != "train"]
    stored = run.data.stored
    return next(
        (name for name in names if name in stored and stored[name].labels is not None), None
    )


def _labels(run: Run, split: str) -> np.ndarray:
    return np.asarray(run.data.stored[split].labels)[:_MOST_TRAINED]


def _labelled(run: Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    return x_of(examples(run.data, split, _MOST_TRAINED)), _labels(run, split)


def _drawn(model: VAE, like, seed: int) -> np.ndarray:
    """As many x ~ p(x|z), z ~ p(z), as the batch has examples, under their conditions."""
    number, key, found = num_rows(like), as_seed(seed), []
    noise = normals(key, number, model.prior.noise_size)
    for start in range(0, number, _ROWS):
        rows = slice(start, start + _ROWS)
        batch = {name: tf.constant(like[name][rows]) for name in model.conditions}
        own = tf.stack(threefry(key, tf.constant(start), tf.constant(-1)))
        found.append(model.draw(batch, model.prior.transform(noise[rows], batch), own).numpy())
    return np.concatenate(found)
