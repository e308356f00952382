"""Exported files, each run by the runtime that its consumers use."""

import abc
import dataclasses
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_vae.export._quiet import quiet
from keras_vae.export.endpoints import input_specs
from keras_vae.export.metadata import is_intact
from keras_vae.noise import as_seed

__all__ = ["Exported", "LiteRTFile", "OnnxFolder", "SavedModelFolder", "Spec", "load"]

_WHOLE = ("seed", "num_samples")  # inputs that say something about the call, not about a row


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shape and type of an input; a size of None is any size."""

    shape: tuple[int | None, ...]
    dtype: np.dtype


class Exported(abc.ABC):
    """What was exported, called by signature: `model("decode", z=z)["mean"]`.

    Where a file takes a fixed number of rows, it is run as often as needed.

    Attributes:
        runtime: what runs it.
        path: the file or folder.
        signatures: the inputs of each signature by name.
    """

    runtime: ClassVar[str]

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"There is no {self.path}.")
        self.signatures: Mapping[str, Mapping[str, Spec]] = self._open()

    @abc.abstractmethod
    def _open(self) -> Mapping[str, Mapping[str, Spec]]:
        """Reads the file; returns its signatures, or raises `ValueError` where it is not one."""

    @abc.abstractmethod
    def _run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One call with what the signature takes."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())

    def __call__(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: one of `signatures`.
            **inputs: arrays by name; numbers are converted to the type the file takes, integers where
                that loses nothing. A seed is an integer, or a pair of 32-bit integers.

        Returns:
            NumPy arrays by name.

        Raises:
            ValueError: for a signature or an input that the file does not have, for shapes and types
                it does not take, and for NaN and infinite numbers.
        """
        if signature not in self.signatures:
            raise ValueError(
                f"{self.path} has no signature {signature!r}. Its signatures: "
                f"{sorted(self.signatures)}."
            )
        specs = self.signatures[signature]
        if set(inputs) != set(specs):
            raise ValueError(
                f"The signature {signature!r} of {self.path} takes the inputs {sorted(specs)}. "
                f"Received: {sorted(inputs)}"
            )
        arrays = {name: self._checked(name, spec, inputs[name]) for name, spec in specs.items()}
        by_row = [name for name in specs if name not in _WHOLE]
        lengths = {name: len(arrays[name]) for name in by_row}
        if "num_samples" in arrays:
            lengths["num_samples"] = int(arrays["num_samples"])
        if len(set(lengths.values())) > 1 or min(lengths.values(), default=1) < 1:
            raise ValueError(
                f"The inputs {list(lengths)} of the signature {signature!r} need the same number of rows, "
                f"at least 1. Received: {list(lengths.values())}"
            )
        step = next((specs[name].shape[0] for name in by_row), None)
        if step is None:
            return self._run(signature, arrays)
        num_rows = len(arrays[by_row[0]])
        whole = {name: arrays.pop(name) for name in set(specs) - set(by_row)}
        if whole and signature != "score":
            if num_rows != step:
                raise ValueError(
                    f"The signature {signature!r} of {self.path} takes {step} rows. Received: {num_rows}"
                )
            return self._run(signature, arrays | whole)
        padded = {name: _padded(array, -num_rows % step) for name, array in arrays.items()}
        parts = [
            self._run(
                signature,
                {name: array[i : i + step] for name, array in padded.items()} | whole,
            )
            for i in range(0, num_rows, step)
        ]
        return {key: np.concatenate([part[key] for part in parts])[:num_rows] for key in parts[0]}

    def _checked(self, name: str, spec: Spec, value) -> np.ndarray:
        given = np.asarray(as_seed(value) if name == "seed" else value)
        is_kind = np.can_cast(given.dtype, spec.dtype, "same_kind")
        if not is_kind or (given.dtype == np.bool_) != (spec.dtype == np.bool_):
            raise ValueError(
                f"The input {name!r} of {self.path} takes {spec.dtype}. Received: {given.dtype}"
            )
        with np.errstate(over="ignore"):
            array = given.astype(spec.dtype)
        if array.dtype.kind == "i" and (array != given).any():
            raise ValueError(
                f"The input {name!r} of {self.path} takes {spec.dtype}, which cannot hold {value!r}."
            )
        expected = spec.shape if name in _WHOLE else ("N", *spec.shape[1:])
        fits = array.ndim == len(expected) and all(
            want in ("N", None, size) for want, size in zip(expected, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"The input {name!r} of {self.path} has to have shape {expected}. "
                f"Received shape {array.shape}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"The input {name!r} holds {np.sum(~np.isfinite(array))} values that are NaN or infinite in "
                f"{array.dtype}. Expected finite numbers."
            )
        return array


class SavedModelFolder(Exported):
    """A SavedModel run by TensorFlow; `path` is the numbered folder, or the one that holds it."""

    runtime = "TensorFlow"

    def _open(self):
        versions = (
            [p for p in self.path.iterdir() if p.name.isdigit()] if self.path.is_dir() else []
        )
        folder = max(versions, key=lambda p: int(p.name), default=self.path)
        try:
            with quiet():
                self._loaded = tf.saved_model.load(str(folder))  # keeps its signatures alive
        except Exception as error:  # the loader raises whatever the damage leads to
            raise ValueError(
                f"{self.path} is not a SavedModel, or it is damaged: {_line(error)} Export the model "
                "again."
            ) from error
        return {
            name: {
                key: Spec(tuple(spec.shape), np.dtype(spec.dtype.as_numpy_dtype))
                for key, spec in input_specs(function).items()
            }
            for name, function in self._loaded.signatures.items()
        }

    def _run(self, signature, inputs):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {k: v.numpy() for k, v in self._loaded.signatures[signature](**tensors).items()}


class LiteRTFile(Exported):
    """A .tflite file run by LiteRT's interpreter, with one thread.

    Integer inputs and outputs of a fully quantised file are taken and given as the real numbers
    that they stand for.
    """

    runtime = "LiteRT"

    def _open(self):
        from ai_edge_litert.interpreter import Interpreter  # its start takes a while

        if not self.path.is_file():
            raise ValueError(f"{self.path} is a folder. Expected a LiteRT file.")
        content = self.path.read_bytes()
        if not is_intact(content):
            raise ValueError(
                f"{self.path} is damaged: its {len(content):,} bytes are not those that were written. "
                "Export the model again, or fetch the file anew."
            )
        try:
            with quiet():
                self._interpreter = Interpreter(model_content=content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{self.path} is not a LiteRT file, or it is damaged ({len(content):,} bytes): "
                f"{_line(error)} Export the model again."
            ) from error
        names = self._interpreter.get_signature_list()
        if not names:
            raise ValueError(
                f"{self.path} has no signatures, so nothing says what its inputs mean. Expected a "
                "file that keras_vae.export.tflite wrote."
            )
        self._runners = {name: self._interpreter.get_signature_runner(name) for name in names}
        return {name: self._specs(runner) for name, runner in self._runners.items()}

    @staticmethod
    def _specs(runner) -> dict[str, Spec]:
        specs = {}
        for name, details in runner.get_input_details().items():
            shape = tuple(None if size == -1 else int(size) for size in details["shape_signature"])
            real = _is_quantised(details)
            specs[name] = Spec(shape, np.dtype(np.float32 if real else details["dtype"]))
        return specs

    def _run(self, signature, inputs):
        runner = self._runners[signature]
        takes, gives = runner.get_input_details(), runner.get_output_details()
        raw = runner(**{name: _quantised(value, takes[name]) for name, value in inputs.items()})
        return {name: _dequantised(value, gives[name]) for name, value in raw.items()}


class OnnxFolder(Exported):
    """A folder of .onnx files, one per signature, run by ONNX Runtime on the CPU."""

    runtime = "ONNX Runtime"

    def _open(self):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        files = sorted(self.path.glob("*.onnx"))
        if not files:
            raise ValueError(f"{self.path} holds no .onnx files. Export the model again.")
        self._sessions = {}
        for file in files:
            try:
                self._sessions[file.stem] = onnxruntime.InferenceSession(
                    str(file), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # the runtime's own classes are private
                raise ValueError(
                    f"{file} is not an ONNX file, or it is damaged: {_line(error)} Export the model "
                    "again."
                ) from error
        return {
            name: {
                node.name: Spec(
                    tuple(size if isinstance(size, int) else None for size in node.shape),
                    np.dtype(_ONNX_TYPES[node.type]),
                )
                for node in session.get_inputs()
            }
            for name, session in self._sessions.items()
        }

    def _run(self, signature, inputs):
        session = self._sessions[signature]
        names = [node.name for node in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


_ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def load(path: str | os.PathLike[str]) -> Exported:
    """Opens an exported file or folder with the runtime that belongs to it.

    Args:
        path: a .tflite file, a SavedModel (or the folder of its versions), or a folder of .onnx
            files.

    Returns:
        An `Exported`, called by signature.

    Raises:
        FileNotFoundError: where there is nothing of that name.
        ImportError: where the runtime is not installed; the message says what to install.
        ValueError: where it is none of these, or damaged.
    """
    path = Path(path)
    if path.is_file() or path.suffix == ".tflite":
        return LiteRTFile(path)
    if path.is_dir() and (any(path.glob("*.onnx")) or path.name == "onnx"):
        require("onnxruntime", "ONNX files are run")
        return OnnxFolder(path)
    return SavedModelFolder(path)


def require(module: str, purpose: str) -> Any:
    """Imports an optional module.

    Raises:
        ImportError: with what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} by {module.split('.')[0]}, which is not installed. Install it with: pip install "
            "'keras-vae[export]'"
        ) from error


def _is_quantised(details: Mapping[str, Any]) -> bool:
    return details["dtype"] in (np.int8, np.uint8) and details["quantization"][0] != 0


def _quantised(value: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    if not _is_quantised(details):
        return value
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(value / scale) + zero_point, limits.min, limits.max).astype(
        details["dtype"]
    )


def _dequantised(value: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    if not _is_quantised(details):
        return value
    scale, zero_point = details["quantization"]
    return (value.astype(np.float32) - zero_point) * np.float32(scale)


def _padded(array: np.ndarray, missing: int) -> np.ndarray:
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1), mode="edge")


def _line(error: BaseException) -> str:
    """The first line of an error, as a sentence."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return first.rstrip(".") + "."
