"""ONNX export: one .onnx file per signature, for ONNX Runtime."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae import _files
from keras_vae.export._quiet import quiet
from keras_vae.export.endpoints import endpoints, input_specs
from keras_vae.export.runtimes import OnnxFolder, require
from keras_vae.models import VAE

__all__ = ["onnx"]

_OPSET = 18


def onnx(
    vae: VAE,
    path: str | os.PathLike[str],
    signatures: Sequence[str] = ("encode", "decode", "reconstruct", "generate"),
) -> Path:
    """Writes a model for ONNX Runtime: `decode.onnx`, `encode.onnx`, ..., a file per signature.

    Every file takes any number of rows and holds the weights that it needs.

    Args:
        vae: the model.
        path: folder to write; an earlier one of .onnx files is replaced.
        signatures: which of `endpoints`. ("score" needs a prior whose density ONNX can compute.)

    Returns:
        The path.

    Raises:
        FileExistsError: where `path` holds anything else; nothing is touched.
        ImportError: where the converter or the runtime is not installed.
        ValueError: where the model uses an op that ONNX has no counterpart for; the message names it.
            Nothing is written then.
    """
    require("tf2onnx", "ONNX files are made")
    require("onnxruntime", "ONNX files are run")
    path = Path(path)
    if path.exists() and not (path.is_dir() and all(p.suffix == ".onnx" for p in path.iterdir())):
        raise FileExistsError(
            f"{path} exists and holds something other than .onnx files; nothing was changed. Choose "
            "another path."
        )
    functions = endpoints(vae, signatures)
    with _files.replacing(path) as new:
        new.mkdir()
        for name, function in functions.items():
            _convert(name, function, new / f"{name}.onnx")
        OnnxFolder(new)  # refuses what ONNX Runtime cannot load
    return path


def _handler(op: str, minus: Callable[[str, str], list[str]]):
    """What the converter calls for an op that ONNX lacks: `op` and a subtraction with 1."""

    def convert(context, node, name, _):
        (output,), shape, dtype = node.output, node.output_shapes, node.output_dtypes
        context.remove_node(node.name)
        value = context.make_node(op, node.input).output[0]
        one = context.make_const(f"{name}_one", np.array(1.0, np.float32)).output[0]
        context.make_node("Sub", minus(value, one), outputs=[output], shapes=shape, dtypes=dtype)

    return convert, []


_SUBSTITUTES = {
    "Erfc": _handler("Erf", lambda value, one: [one, value]),
    "Expm1": _handler("Exp", lambda value, one: [value, one]),
}


def _convert(name: str, function: tf.types.experimental.ConcreteFunction, path: Path) -> None:
    import onnx as onnx_format
    import tf2onnx

    specs = input_specs(function)

    def by_position(*values):
        return function(**dict(zip(specs, values, strict=True)))

    # The converter names inputs after parameters, and knows no keywords.
    by_position.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD) for key in specs]
    )
    with quiet():
        converted, _ = tf2onnx.convert.from_function(
            tf.function(by_position, autograph=False),
            [tf.TensorSpec(spec.shape, spec.dtype, key) for key, spec in specs.items()],
            opset=_OPSET,
            custom_op_handlers=_SUBSTITUTES,
        )
    # What the converter has no counterpart for, it leaves as it is.
    unknown = {
        f"{node.op_type} at {node.name!r}"
        for node in converted.graph.node
        if not onnx_format.defs.has(node.op_type, domain=node.domain)
    }
    if unknown:
        raise ValueError(
            f"ONNX cannot take the signature {name!r}: it has no op for {', '.join(sorted(unknown))}. "
            "Build the model from other ops, leave that signature out, or export a SavedModel, which "
            "takes all of TensorFlow's."
        )
    path.write_bytes(converted.SerializeToString())
