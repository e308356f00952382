"""LiteRT export: the decoder as one .tflite file of built-in ops."""

import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae import _files
from keras_vae.export._audit import nodes
from keras_vae.export._quiet import quiet
from keras_vae.export.endpoints import endpoints
from keras_vae.export.litert import LiteRTDecoder
from keras_vae.export.saved_model import write
from keras_vae.models import VAE

__all__ = ["custom_ops", "tflite"]


def tflite(vae: VAE, path: str | os.PathLike[str], *, batch_size: int | None = None) -> Path:
    """Writes a model's decoder for LiteRT: signature `decode`, z [B, D] -> mean [B, *event].

    Float32 and built-in ops only, so the file runs wherever LiteRT does, without TensorFlow's
    kernels. What a conditional decoder asks for are further inputs.

    Args:
        vae: the model.
        path: file to write, `decoder.tflite` say; an earlier one is replaced.
        batch_size: number of latents that the file takes at a time; any number by default. Some
            runtimes (in browsers, on microcontrollers) take fixed shapes only.

    Returns:
        The path.

    Raises:
        ValueError: where the decoder draws random numbers, does not compute in float32, or uses an
            op that LiteRT has no built-in for; the message names it. Nothing is written then.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Expected the name of a file to write.")
    functions = endpoints(vae, ["decode"], batch_size=batch_size)
    content = _convert(functions)
    _check_runs(content, functions["decode"], batch_size)
    _files.write(path, content)
    return path


def custom_ops(content: bytes) -> list[str]:
    """The ops of a LiteRT file that are not built in: "Flex..." for those of TensorFlow."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    return [
        code.CustomCode().decode()
        for code in codes
        if code.BuiltinCode() == schema.BuiltinOperator.CUSTOM
    ]


def _convert(functions: dict[str, tf.types.experimental.ConcreteFunction]) -> bytes:
    for name, function in functions.items():
        _check_float32(name, function)
    with tempfile.TemporaryDirectory() as folder:
        write(functions, Path(folder))
        try:
            with quiet():
                converter = tf.lite.TFLiteConverter.from_saved_model(folder, list(functions))
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
                return converter.convert()
        except Exception as error:  # the converter's own class is private
            raise ValueError(_refusal(error)) from error


def _refusal(error: Exception) -> str:
    details = [each for each in getattr(error, "errors", ()) if each.operator.name]
    ops = {" at ".join([e.operator.name, *(c.name for c in e.location.call[:1])]) for e in details}
    reason = f"it has no built-in op for {', '.join(sorted(ops))}" if ops else str(error)
    return (
        f"LiteRT cannot take this model: {reason}. Build what is exported from other ops, or "
        "export a SavedModel, which takes all of TensorFlow's."
    )


def _check_float32(name: str, function: tf.types.experimental.ConcreteFunction) -> None:
    small = {tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum}
    for node in nodes(function):
        if found := small & {attribute.type for attribute in node.attr.values()}:
            raise ValueError(
                f"The signature {name!r} computes in {tf.as_dtype(found.pop()).name} (at "
                f"{node.name!r}), and LiteRT's built-in ops in float32. Build the networks again "
                "under the dtype policy 'float32', copy the weights (get_weights, set_weights), "
                "and export that model; a SavedModel takes this one as it is."
            )


def _check_runs(
    content: bytes, decode: tf.types.experimental.ConcreteFunction, batch_size: int | None
) -> None:
    """Refuses a file that the converter gave without an error and that LiteRT cannot run."""
    if custom := custom_ops(content):
        raise ValueError(f"The converted file needs ops that are not built in: {custom}.")
    specs = decode.structured_input_signature[1]  # pyright: ignore[reportAttributeAccessIssue]
    zeros = {
        name: np.zeros((batch_size or 2, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for name, spec in specs.items()
    }
    try:
        LiteRTDecoder(content)(**zeros)
    except RuntimeError as error:
        raise ValueError(
            f"The decoder was converted, but LiteRT cannot run the file: {error} Build the decoder "
            "from other ops, or give a fixed `batch_size`."
        ) from error
