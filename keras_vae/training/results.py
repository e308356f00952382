"""What is asked of a finished run: its examples, its embeddings, an export, what it is."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae import _files, pictures
from keras_vae._parts import check_known
from keras_vae.data import Splits
from keras_vae.data.tables import described
from keras_vae.export import FORMATS, QUANTIZATIONS, Parity, export
from keras_vae.likelihoods import Column
from keras_vae.models import EncoderDecoder, num_rows
from keras_vae.training.run import Run

_COST_EXAMPLES = 1000  # to measure the cost of quantisation on


def examples(splits: Splits, split: str, limit: int | None = None) -> Any:
    """The first examples of a split; all of them without a limit, or where there are fewer."""
    check_known("split", split, splits.stored)
    if limit is not None and limit < 1:
        raise ValueError(f"The number of examples has to be at least 1. Received: {limit}")
    available = len(splits.stored[split])
    return splits.examples(split, available if limit is None else min(limit, available))


def some(batch: Any, number: int, seed: int) -> tuple[Any, np.ndarray]:
    """So many examples of a batch at random, or all where there are no more; and which: the first ones need
    not be like the others, as in data that are sorted.
    """
    rows = np.random.default_rng(seed % 2**64).permutation(num_rows(batch))[:number]
    rows = np.sort(rows)
    return tf.nest.map_structure(lambda array: array[rows], batch), rows


def class_number(run: Run, name: str) -> int:
    """The number of a class of a run with the condition "label", from its number or its name."""
    num_classes = run.model.labels.get("label")
    if num_classes is None:
        raise ValueError(
            f"{run.path} was trained without labels, so no class can be asked for. `keras-vae train "
            "--condition label` trains with them."
        )
    if not name.isdecimal():
        check_known("class", name, run.data.classes)
        return run.data.classes.index(name)
    if int(name) >= num_classes:
        raise ValueError(f"The classes have the numbers 0 to {num_classes - 1}. Received: {name}")
    return int(name)


def generate_run(
    run: Run, num_samples: int, *, label: int | None = None, seed=0
) -> tuple[np.ndarray, int | None]:
    """New examples of a run's model.

    A run with the condition "label" gives those of one class, or, without a label, of all classes, the
    same number of each, at least `num_samples` together; one with another condition, examples under
    the conditions of its first test examples.

    Returns:
        The examples [N, *event], and how many belong in a row of a grid, if that matters.
    """
    model = run.model
    if label is not None:
        return model.generate(num_samples, seed, label=label), None
    if num_classes := model.labels.get("label"):
        of_each = math.ceil(num_samples / num_classes)
        labels = np.repeat(np.arange(num_classes), of_each)
        return model.generate(len(labels), seed, label=labels), of_each
    if model.conditions:
        return model.generate_like(examples(run.data, "test", num_samples), seed), None
    return model.generate(num_samples, seed), None


def save_samples(path: Path, model: EncoderDecoder, seen: Any, value_range) -> None:
    """A picture of 64 samples, or of one for each of the examples whose conditions they are under."""
    samples = model.generate_like(seen) if model.conditions else model.generate(64)
    pictures.save_png(path, pictures.image_grid(samples, value_range=value_range), scale=2)


def check_embed_output(output: str | os.PathLike[str]) -> None:
    """Raises `ValueError` where embeddings cannot be written under that name."""
    if Path(output).suffix not in (".npz", ".png"):
        raise ValueError(f"Embeddings are written as .npz or as a .png map. Received: {output}")


def embed_run(run: Run, output: str | os.PathLike[str], *, split: str = "test") -> np.ndarray:
    """Writes the posterior's location of every example of a split: a .npz file (z, labels) or a
    .png map.

    Returns:
        float32 [N, latent_dim].
    """
    path = Path(output)
    check_embed_output(path)
    check_known("split", split, run.data.stored)
    z = np.concatenate([run.model.embed(chunk) for chunk in run.data.chunks(split)])
    labels = run.data.stored[split].labels
    if path.suffix == ".png":
        pictures.latent_map(path, z, labels, of=f"{split} examples")
        return z
    arrays: dict[str, Any] = {"z": z} if labels is None else {"z": z, "labels": labels}
    with _files.replacing(path) as new:
        np.savez(new, **arrays)
    return z


def export_run(
    run: Run,
    output: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantizations: Sequence[str] = ("none",),
    **options: Any,
) -> Parity:
    """Exports a run's model, and measures on its test data what quantisation costs.

    Args:
        run: the run.
        output: the folder to make.
        formats: names in `export.FORMATS`, or "all".
        quantizations: names in `export.QUANTIZATIONS`, or "none".
        **options: as `export.export` takes them.
    """
    for name in formats:
        check_known("format", name, (*FORMATS, "all"))
    names = {str(name or "none"): name for name in QUANTIZATIONS}
    for name in quantizations:
        check_known("quantization", name, names)
    quantised = [names[name] for name in quantizations]
    data = examples(run.data, "test", _COST_EXAMPLES) if any(quantised) else None
    return export(
        run.model,
        output,
        formats=FORMATS if "all" in formats else tuple(dict.fromkeys(formats)),
        quantizations=quantised,
        data=data,
        about={"name": run.config["data"]["name"]},
        **options,
    )


def _columns(model: EncoderDecoder) -> Sequence[Column]:
    """What the columns are of a model of a table; () of another."""
    return getattr(model.likelihood, "columns", ())


def describe(run: Run) -> list[tuple[str, str]]:
    """Rows of (what, value): the run's data, parts, size and best epoch."""
    model = run.model
    history = run.history(model.objective.terms)
    monitor = f"val_{model.objective.monitor}"
    parts = {part: repr(getattr(model, part)) for part in ("posterior", "likelihood", "objective")}
    best = int(np.argmin(history[monitor])) if history else 0
    return [
        ("run", str(run.path)),
        ("data", f"{run.config['data']['name']}, protocol {run.config['data']['protocol']}"),
        ("example shape", str(model.event_shape)),
        ("latent dimensions", str(model.latent_dim)),
        ("model", type(model).__name__),
        ("network", f"{run.recipe.network}, {model.count_params():,} weights"),
        ("prior", type(model.prior).__name__),
        *parts.items(),
        *((f"column {name}", kind) for name, kind in described(_columns(model))),
        ("updates", f"{int(model.step.numpy()):,} at the best epoch"),
        *(
            [("best epoch", f"{best + 1} ({monitor} {history[monitor][best]:.2f} nats)")]
            if history
            else []
        ),
        *((f"{name} version", version) for name, version in run.config["versions"].items()),
    ]
