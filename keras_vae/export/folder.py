"""A model's exports in one folder, published only if they give what the live model gives."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_vae import _files
from keras_vae.export.parity import Parity, parity
from keras_vae.export.saved_model import saved_model
from keras_vae.export.tflite import tflite
from keras_vae.models import VAE

__all__ = ["export"]


def export(
    vae: VAE,
    folder: str | os.PathLike[str],
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
    num_latents: int = 64,
    seed=0,
    budget: float = 1e-5,
    conditions: Mapping[str, Any] | None = None,
) -> Parity:
    """Writes `saved_model/`, `decoder.tflite` and `config.json` into a folder, or nothing at all.

    The files are checked with `parity` before they appear; `config.json` keeps what it measured.

    Args:
        vae: the model.
        folder: a new or empty folder; with `overwrite`, also one that this function wrote.
        batch_size: number of latents that the LiteRT file takes at a time; any by default.
        overwrite: whether to replace an earlier export.
        num_latents: number of latents of the check.
        seed: of those latents.
        budget: largest difference that passes.
        conditions: what a conditional decoder asks for in the check, as `parity` takes it.

    Returns:
        The `Parity` of the files written.

    Raises:
        FileExistsError: where the folder holds something else; nothing is touched.
        ParityError: where a file does not give what the live model gives.
        ValueError: as in `endpoints`, `tflite` and `parity`.
    """
    with _claimed(Path(folder), overwrite) as claimed, _files.replacing(claimed) as new:
        measured = parity(
            vae,
            saved_model(vae, new / "saved_model"),
            tflite(vae, new / "decoder.tflite", batch_size=batch_size),
            num_latents=num_latents,
            seed=seed,
            budget=budget,
            conditions=conditions,
        )
        config = {**_files.marker("export"), "parity": dataclasses.asdict(measured)}
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return measured


@contextlib.contextmanager
def _claimed(folder: Path, overwrite: bool) -> Iterator[Path]:
    """The folder to replace; one that was not there is gone again after an error."""
    is_new = not folder.exists()
    _files.claim_folder(folder, "export", overwrite=overwrite)
    try:
        yield folder
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
