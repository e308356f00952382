"""LiteRT export: one .tflite file of built-in ops, in float32 or quantised."""

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from keras_vae import _files
from keras_vae._parts import check_count
from keras_vae.export._audit import nodes
from keras_vae.export._inputs import sample_inputs
from keras_vae.export._quiet import quiet
from keras_vae.export.endpoints import (
    Detection,
    endpoints,
    input_specs,
    row_score,
    row_specs,
    trace,
)
from keras_vae.export.metadata import description, sealed, with_metadata
from keras_vae.export.runtimes import LiteRTFile, require
from keras_vae.export.saved_model import write
from keras_vae.models import VAE

__all__ = ["QUANTIZATIONS", "convert", "custom_ops", "tflite"]

Functions: TypeAlias = dict[str, tf.types.experimental.ConcreteFunction]

_CALIBRATION_ROWS = 256
_FEW_WEIGHTS = 2**15
_CONTROL_FLOW = re.compile(r"^(Stateless)?(While|If|Case)$|^TensorList")


def tflite(
    vae: VAE,
    path: str | os.PathLike[str],
    quantization: str | None = None,
    *,
    signatures: Sequence[str] | None = None,
    batch_size: int | None = 1,
    num_samples: int = 16,
    integer_io: bool = False,
    per_tensor: bool = False,
    about: dict[str, str] | None = None,
    detector: Detection | None = None,
) -> Path:
    """Writes a model for LiteRT: `decode`, `encode`, `generate`, `score`, which share their weights.

    Built-in ops only, so the file runs wherever LiteRT does, without TensorFlow's kernels, and the
    same seed gives the same pictures. What a conditional model asks for are further inputs.

        None            float32
        "float16"       weights in half precision, half the size
        "dynamic_int8"  weights in 8 bits, activations quantised as they come: a quarter of the size
        "int4"          weights in 4 bits (in 8 where there are few), activations likewise
        "int8"          all integers, calibrated on samples from the model itself: no data needed.
                        For microcontrollers: `decode` and `encode` without a stddev, no `generate`
                        nor `score` (normals need floats)

    Args:
        vae: the model.
        path: file to write, `model.tflite` say; an earlier one is replaced.
        quantization: see above.
        signatures: which to write; all that the quantisation takes by default, and `score` of a
            detector.
        batch_size: number of rows that `decode`, `encode` and `score` take at a time. None: any number, which
            runtimes in browsers and on microcontrollers do not take.
        num_samples: number of examples that `generate` gives.
        integer_io: for "int8", whether inputs and outputs are int8 too.
        per_tensor: for "int8", one scale for all weights of a layer instead of one per channel: less
            memory on a microcontroller, and less exact.
        about: what the file's metadata say of the model: "name", "version", "licence", anything.
        detector: an `applications.Detector` of this model: `score` then flags anomalies, and the
            metadata say at which threshold. A score with a loop, such as the likelihood regret, is
            for a SavedModel.

    Returns:
        The path.

    Raises:
        ImportError: where the quantiser is not installed.
        ValueError: where the model draws random numbers, does not compute in float32, or uses an op
            that LiteRT has no built-in for; the message names it. Nothing is written then.

    References:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, 2017, arXiv:1712.05877 (the "int8" scheme).
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Expected the name of a file to write.")
    check_count("tflite", num_samples=num_samples)
    if batch_size is not None:
        check_count("tflite", batch_size=batch_size)
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Unknown quantization {quantization!r}. Expected one of {list(QUANTIZATIONS)}."
        )
    if quantization != "int8" and (integer_io or per_tensor):
        raise ValueError('integer_io and per_tensor belong to quantization="int8".')
    possible = ("decode", "encode")
    if quantization != "int8":
        possible += ("generate",) if detector is None else ("generate", "score")
    signatures = possible if signatures is None else tuple(signatures)
    if not signatures or not set(signatures) <= set(possible):
        raise ValueError(
            f"With quantization={quantization!r} a LiteRT file has the signatures {possible}. "
            f"Received: {signatures}"
        )
    by_row = [name for name in signatures if name in ("decode", "encode")]
    if quantization == "int8":
        functions = _integer_endpoints(vae, by_row, batch_size)
    else:
        functions = endpoints(vae, by_row, batch_size=batch_size)
    if "generate" in signatures:
        functions |= endpoints(vae, ["generate"], num_samples=num_samples)
    if "score" in signatures and detector is not None:
        functions["score"] = trace("score", *row_score(vae, batch_size, detector))
    content = convert(
        vae,
        functions,
        quantization,
        integer_io=integer_io,
        per_tensor=per_tensor,
        about=description(vae, functions, quantization, about or {}, detector),
    )
    with _files.replacing(path) as new:
        new.write_bytes(content)
        _check_runs(new, functions, batch_size)
    return path


def _integer_endpoints(vae: VAE, names: Sequence[str], batch_size: int | None) -> Functions:
    """`encode` and `decode` as eight bits take them: the location, the mean, and nothing beside.

    The converter gives both halves of what a network puts out one range, that of the scale: the
    other half would be cut off. It gives a clipped tensor the range of what is left, so that the
    parameters' 256 steps are spent where they can be seen.
    """
    posterior, likelihood = vae.now(vae.posterior), vae.now(vae.likelihood)
    bound = likelihood.visible_within

    def encode(**batch):
        return {"location": posterior.location(vae.encode(batch))}

    def decode(**inputs):
        params = vae.decode_params(inputs["z"], inputs)
        if bound is not None:
            params = tf.clip_by_value(params, -bound, bound)
        return {"mean": likelihood.location(params)}

    for_encoder, for_decoder = row_specs(vae, batch_size)
    functions = {"encode": (encode, for_encoder), "decode": (decode, for_decoder)}
    return {name: trace(name, *functions[name]) for name in names}


def convert(
    vae: VAE,
    functions: Functions,
    quantization: str | None,
    *,
    integer_io: bool = False,
    per_tensor: bool = False,
    about: dict[str, Any] | None = None,
) -> bytes:
    """The content of a .tflite file with these functions as its signatures, and what it says of itself."""
    for name, function in functions.items():
        _check_float32(name, function)
        if quantization == "int8":
            _check_straight(name, function)
    options: dict[str, Any] = {}
    if quantization == "int8":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = _calibration(vae, functions)
        options["_experimental_disable_per_channel"] = per_tensor
        options["_experimental_disable_per_channel_quantization_for_dense_layers"] = per_tensor
        io_type = tf.int8 if integer_io else tf.float32
        options["inference_input_type"] = options["inference_output_type"] = io_type
    with tempfile.TemporaryDirectory() as folder:
        write(functions, Path(folder))
        try:
            with quiet(), warnings.catch_warnings():
                # The converter calibrates with an interpreter that TensorFlow itself deprecates.
                warnings.filterwarnings(
                    "ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated"
                )
                converter = tf.lite.TFLiteConverter.from_saved_model(folder, list(functions))
                integer = quantization == "int8"
                ops = tf.lite.OpsSet
                built_ins = ops.TFLITE_BUILTINS_INT8 if integer else ops.TFLITE_BUILTINS
                converter.target_spec.supported_ops = [built_ins]
                for option, value in options.items():
                    setattr(converter, option, value)
                content = converter.convert()
        except Exception as error:  # the converter's own class is private
            raise ValueError(_refusal(error)) from error
    content = with_metadata(content, about or {})
    weights = QUANTIZATIONS[quantization]
    return sealed(content if weights is None else _requantised(content, *weights))


def _weights(num_bits: int, dtype: str = "INT", algorithm: str = "min_max_uniform_quantize"):
    """The quantiser's words for: weights of that type, computed with as they are if integers."""
    computes = "INTEGER" if dtype == "INT" else "FLOAT"
    return {
        "operation": "*",
        "algorithm_key": algorithm,
        "op_config": {
            "weight_tensor_config": {
                "num_bits": num_bits,
                "dtype": dtype,
                "symmetric": True,
                "granularity": "CHANNELWISE",
            },
            "compute_precision": computes,
            "explicit_dequantize": computes == "FLOAT",
        },
    }


_HALVES = _weights(16, "FLOAT", "float_casting")

QUANTIZATIONS: dict[str | None, tuple[dict[str, Any], dict[str, Any]] | None] = {
    None: None,
    "float16": (_HALVES, _HALVES),
    "dynamic_int8": (_weights(8), _weights(8)),
    "int4": (_weights(4, algorithm="MSE"), _weights(8)),
    "int8": None,  # the converter's own: it has to see the activations
}
"""What becomes of the weights of a converted file, by name: of large layers, and of small ones, which
weigh little and through which every latent goes."""


def _requantised(content: bytes, large: dict[str, Any], small: dict[str, Any]) -> bytes:
    quantizer = require("litert_quantizer.quantizer", "LiteRT files are quantised")
    recipe = [{"regex": ".*", **large}]
    if names := _small_layers(content):
        recipe.append({"regex": "|".join(map(re.escape, sorted(names))), **small})
    with quiet():
        requantise = quantizer.Quantizer(bytearray(content), recipe)
        result = requantise.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _small_layers(content: bytes) -> set[str]:
    """The names, which are those of their outputs, of ops with few weights."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    names = set()
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for op in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            if op.InputsLength() < 2:
                continue
            shape = graph.Tensors(op.Inputs(1)).ShapeAsNumpy()
            is_constant = model.Buffers(graph.Tensors(op.Inputs(1)).Buffer()).DataLength() > 0
            if is_constant and np.size(shape) >= 2 and np.prod(shape) < _FEW_WEIGHTS:
                names.add(graph.Tensors(op.Outputs(0)).Name().decode())
    return names


def _calibration(vae: VAE, functions: Functions) -> Callable[[], Iterator]:
    """What the converter measures activations on: samples from the prior, and what they decode to."""
    samples = sample_inputs(vae, _CALIBRATION_ROWS)

    def calls():
        for name, function in functions.items():
            specs = input_specs(function)
            step = next(iter(specs.values())).shape[0] or 1
            for i in range(0, _CALIBRATION_ROWS - step + 1, step):
                yield name, {key: samples[key][i : i + step] for key in specs}

    return calls


# Refusals.


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


def _check_straight(name: str, function: tf.types.experimental.ConcreteFunction) -> None:
    """Refuses loops and branches, on which the converter's calibration ends the process."""
    for node in nodes(function):
        if _CONTROL_FLOW.search(node.op):
            raise ValueError(
                f"The signature {name!r} has a loop or a branch, {node.op} at {node.name!r}, which cannot be "
                "calibrated to eight bits. Unroll it (recurrent layers: unroll=True), or use "
                'quantization="dynamic_int8".'
            )


def _check_runs(path: Path, functions: Functions, batch_size: int | None) -> None:
    """Refuses a file that the converter gave without an error and that LiteRT cannot run."""
    if custom := custom_ops(path.read_bytes()):
        raise ValueError(f"The converted file needs ops that are not built in: {custom}.")
    model = LiteRTFile(path)
    for name, function in functions.items():
        specs = input_specs(function)
        zeros = {
            key: np.zeros([size or 2 for size in spec.shape], spec.dtype.as_numpy_dtype)
            for key, spec in specs.items()
        }
        try:
            model(name, **zeros)
        except RuntimeError as error:
            raise ValueError(
                f"The signature {name!r} was converted, but LiteRT cannot run it: {error} Build the "
                "networks from other ops, or give a fixed `batch_size`."
            ) from error
