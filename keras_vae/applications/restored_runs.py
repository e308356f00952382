"""What a trained run makes of damaged images: from its data or a file, to a picture or an array."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_vae import _files, pictures
from keras_vae.applications.restoration import DAMAGES, as_conditions, psnr, restore
from keras_vae.training import Run
from keras_vae.training.results import examples

__all__ = ["check_damage", "damages_of", "read_damaged", "restore_run"]

_SHOWN = 5  # answers in a picture


def check_damage(run: Run, damages: tuple[str, ...] = DAMAGES) -> None:
    """Raises `ValueError` where a run was trained under none of these conditions."""
    if (condition := run.recipe.condition) in damages and run.model.conditions:
        return
    other = condition if condition in DAMAGES else ""
    hint = f" `keras-vae {_command_for(other)}` is for {other} images." if other else ""
    raise ValueError(
        f"{run.path} was trained with {f'the condition {condition}' if condition else 'no condition'}. Expected one "
        f"of {', '.join(damages)}: `keras-vae train --condition {damages[0]} --protocol grey --likelihood "
        f"shared-scale-normal --output NEW` trains one.{hint}"
    )


def damages_of(command: str) -> tuple[str, ...]:
    """The conditions that a command, "upscale" or "restore", undoes."""
    return tuple(name for name in DAMAGES if _command_for(name) == command)


def _command_for(damage: str) -> str:
    return "upscale" if damage.startswith("downscaled") else "restore"


def read_damaged(path: str | os.PathLike[str], run: Run) -> np.ndarray:
    """Damaged images of a file, in the units of the run's data.

    Args:
        path: a .npy array [N, h, w] or [N, h, w, C], 8-bit or in the units of the data, with NaN in
            hidden pixels; or a picture, with transparent ones.
        run: what they are for.

    Returns:
        float32 [N, h, w, C], NaN in hidden pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Expected a picture, or a .npy array.")
    channels = run.model.event_shape[-1]
    if path.suffix == ".npy":
        images = np.load(path, allow_pickle=False)
        if images.dtype.kind not in "buif":
            raise ValueError(f"{path} holds no numbers. Received dtype {images.dtype}.")
        is_whole = images.dtype == np.uint8
    else:
        with Image.open(path) as picture:
            colours = picture.convert("L" if channels == 1 else "RGB")
            hidden = np.asarray(picture.convert("RGBA"))[..., 3] == 0
        images, is_whole = np.asarray(colours, np.float32)[np.newaxis], True
        images = np.where(
            hidden.reshape(1, *hidden.shape, *[1] * (images.ndim - 3)), np.nan, images
        )
    images = images.astype(np.float32)
    black, white = run.value_range
    return black + images / 255 * (white - black) if is_whole else images


def restore_run(
    run: Run,
    output: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    num_examples: int = 6,
    split: str = "test",
    num_answers: int = 16,
    seed: int = 0,
) -> dict[str, float]:
    """Writes several answers to damaged images, their mean and their spread.

    Args:
        run: a run under one of `DAMAGES`.
        output: a .png picture, a row for each image; or a .npy array of the answers [A, N, H, W, C].
        source: a file of damaged images; None: those of the run's data.
        num_examples: how many, from the start of the split or of the file.
        split: of the run's data.
        num_answers: how many answers; a picture shows the first five, and the mean and spread of all.
        seed: of the answers.

    Returns:
        The number of images, and, where the undamaged are known, the PSNR in decibels of the mean and
        of the first answer: "images", "mean", "first".
    """
    check_damage(run)
    vae = run.model
    pictures.check_output(output, vae.event_shape)
    originals = None
    if source is None:
        batch = examples(run.data, split, num_examples)
        originals, conditions = batch["x"], {name: batch[name] for name in vae.conditions}
    else:
        conditions = as_conditions(vae, read_damaged(source, run)[:num_examples])
    found = restore(vae, conditions, num_answers, seed)
    if Path(output).suffix == ".npy":
        with _files.replacing(output) as new:
            np.save(new, found)
    else:
        _picture(output, conditions, found, originals, run.value_range)
    numbers = {"images": found.shape[1]}
    if originals is None:
        return numbers
    black, white = run.value_range
    shares = [
        (each - black) / (white - black) for each in (originals, found.mean(axis=0), found[0])
    ]
    return numbers | {
        name: float(psnr(shares[0], restored).mean())
        for name, restored in zip(("mean", "first"), shares[1:], strict=True)
    }


def _picture(path, conditions: dict[str, Any], found, originals, value_range) -> None:
    (name,) = set(conditions) - {"kept"}
    damaged = conditions[name]
    if "kept" in conditions:  # hidden pixels in grey
        damaged = np.where(conditions["kept"] > 0, damaged, np.mean(value_range))
    enlarged = damaged.repeat(found.shape[2] // damaged.shape[1], axis=1)
    enlarged = enlarged.repeat(found.shape[3] // damaged.shape[2], axis=2)
    spread = found.std(axis=0)
    columns = {
        f"{damaged.shape[1]} x {damaged.shape[2]}" if name == "low" else "damaged": enlarged,
        **{f"{number}": each for number, each in enumerate(found[:_SHOWN], start=1)},
        "mean": found.mean(axis=0),
        "spread": spread,
        **({} if originals is None else {"original": originals}),
    }
    ranges = dict.fromkeys(columns, value_range) | {"spread": (0.0, float(spread.max()))}
    pictures.overview(
        path,
        {
            title: pictures.image_grid(images, columns=1, value_range=ranges[title])
            for title, images in columns.items()
        },
    )
