"""A model's exports in one folder, published only if they give what the live model gives."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae import _files
from keras_vae._parts import check_count
from keras_vae.export._cost import quantization_cost
from keras_vae.export.endpoints import Detection
from keras_vae.export.onnx import onnx
from keras_vae.export.parity import BUDGETS, Budget, Parity, Reference, parity
from keras_vae.export.saved_model import saved_model
from keras_vae.export.tflite import QUANTIZATIONS, tflite
from keras_vae.models import VAE, need_model

__all__ = ["FORMATS", "check", "export"]

FORMATS = ("saved_model", "tflite", "onnx")
_REFERENCE = "reference.npz"


def _litert_name(quantization: str | None) -> str:
    return f"model_{quantization}.tflite" if quantization else "model.tflite"


_ENTRIES = ("saved_model", "onnx", _REFERENCE, *map(_litert_name, QUANTIZATIONS))


def export(
    vae: VAE,
    folder: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantizations: Sequence[str | None] = (None,),
    batch_size: int | None = 1,
    num_samples: int = 16,
    data=None,
    conditions: Mapping[str, Any] | None = None,
    budgets: Mapping[str | None, Budget] | None = None,
    about: dict[str, str] | None = None,
    detector: Detection | None = None,
    overwrite: bool = False,
) -> Parity:
    """Writes a model for its consumers into a folder, or nothing at all.

        saved_model/1/             every signature of `endpoints`
        model.tflite               decode, encode, generate, and with a detector score;
                                   model_QUANTIZATION.tflite likewise
        onnx/SIGNATURE.onnx        every signature of `endpoints`
        reference.npz              inputs, and what the live model gives for them
        config.json                what was written, with what, and how far each file is from the model

    The files are checked with `parity` before they appear.

    Args:
        vae: the model.
        folder: a new or empty folder; with `overwrite`, also one that this function wrote.
        formats: which of `FORMATS`.
        quantizations: of the LiteRT files, a file each; see `tflite`.
        batch_size: number of rows that `decode` and `encode` of a LiteRT file take; None: any.
        num_samples: number of examples that `generate` of a LiteRT file gives.
        data: test data, array [N, *event] or a dict of arrays: what quantisation costs in nats is
            measured on them; without them it is not.
        conditions: what a conditional model asks for in the check, as `parity` takes it.
        budgets: what passes, by quantisation; `BUDGETS` by default.
        about: what the files say of the model, as `tflite` takes it.
        detector: an `applications.Detector` of this model: `score` then flags anomalies, and
            config.json and the files' metadata hold its threshold.
        overwrite: whether to replace an earlier export.

    Returns:
        The `Parity` of the files written.

    Raises:
        FileExistsError: where the folder holds something else; nothing is touched.
        ParityError: where a file does not give what the live model gives.
        ValueError: as in `endpoints`, `tflite` and `parity`.
    """
    need_model(vae, "export")
    _check_several("formats", formats, FORMATS)
    _check_several("quantizations", quantizations, QUANTIZATIONS)
    check_count("export", num_samples=num_samples)
    if batch_size is not None:
        check_count("export", batch_size=batch_size)
    if "tflite" not in formats and any(quantizations):
        raise ValueError(
            f"quantizations={list(quantizations)} are of LiteRT files, which are not among "
            f"formats={list(formats)}."
        )
    allowed = BUDGETS | dict(budgets or {})
    if set(allowed) != set(BUDGETS):
        raise ValueError(
            f"budgets are by quantization, one of {list(BUDGETS)}. Received: {list(budgets or ())}"
        )
    with _claimed(Path(folder), overwrite) as claimed, _files.publishing(claimed, _ENTRIES) as new:
        written: dict[str, str | None] = {}
        if "saved_model" in formats:
            saved_model(vae, new / "saved_model", name="vae", detector=detector)
            written["saved_model"] = None
        if "tflite" in formats:
            for quantization in dict.fromkeys(quantizations):
                name = _litert_name(quantization)
                tflite(
                    vae,
                    new / name,
                    quantization,
                    batch_size=batch_size,
                    num_samples=num_samples,
                    about=about,
                    detector=detector,
                )
                written[name] = quantization
        if "onnx" in formats:
            onnx(vae, new / "onnx")
            written["onnx"] = None
        nats = {
            name: quantization_cost(vae, quantization, data)
            for name, quantization in written.items()
            if quantization is not None and data is not None
        }
        reference = Reference.of(
            vae, num_rows=max(64, num_samples), conditions=conditions, detector=detector
        )
        reference.save(new / _REFERENCE)
        files = {
            name: {
                "quantization": quantization,
                "budget": dataclasses.asdict(allowed[quantization]),
                "nats": nats.get(name),
            }
            for name, quantization in written.items()
        }
        measured = _check(new, files, reference)
        config = {
            **_files.marker("export"),
            "files": files,
            "parity": [dataclasses.asdict(row) for row in measured.rows],
            **({} if detector is None else {"detector": detector.to_json()}),
        }
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return measured


def check(folder: str | os.PathLike[str]) -> Parity:
    """Runs the files of an export again, on this machine, and holds them to the live model's numbers.

    Args:
        folder: what `export` wrote. The live model is not needed.

    Returns:
        The `Parity`; what is not installed is `skipped`, with the reason.

    Raises:
        ParityError: where a file does not give what the live model gave.
        ValueError: where the folder is not an export, or a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    config = _files.read_config(folder, "export")
    try:
        files = {name: _checked_entry(name, entry) for name, entry in config["files"].items()}
        if not files:
            raise ValueError("its config.json names no file")
        promised = {(row["file"], row["signature"]) for row in config["parity"]}
        reference = Reference.load(folder / _REFERENCE)
    except Exception as error:  # whatever the damage leads to
        raise ValueError(
            f"{folder} is damaged ({type(error).__name__}: {error}). Export the model again."
        ) from error
    measured = _check(folder, files, reference)
    found = {(row.file, row.signature) for row in measured.rows}
    run = {name for name, _ in found}
    if missing := {(name, signature) for name, signature in promised - found if name in run}:
        raise ValueError(
            f"{folder} is damaged: {', '.join(' '.join(each) for each in sorted(missing))} is gone. Export "
            "the model again."
        )
    if not run:
        raise ValueError("Nothing was checked:\n" + "\n".join(measured.skipped))
    return measured


def _checked_entry(name: str, entry: Any) -> dict[str, Any]:
    """What config.json says of a file, or an error of whatever kind."""
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no name of an entry of the folder")
    budget, nats = Budget(**entry["budget"]), entry["nats"]
    _ = [limit + 0.0 for limit in dataclasses.astuple(budget) if limit is not None]
    return {"budget": entry["budget"], "nats": None if nats is None else nats + 0.0}


def _check(folder: Path, files: Mapping[str, Any], reference: Reference) -> Parity:
    return parity(
        reference,
        *(folder / name for name in files),
        budgets={name: Budget(**file["budget"]) for name, file in files.items()},
        nats={name: file["nats"] for name, file in files.items()},
    )


def _check_several(what: str, given: Any, known: Collection[str | None]) -> None:
    if isinstance(given, str) or not given or not set(given) <= set(known):
        raise ValueError(
            f'Invalid value received for argument "{what}" of export. Expected a sequence of some of '
            f"{list(known)}. Received: {given!r}"
        )


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
