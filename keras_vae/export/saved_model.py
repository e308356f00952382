"""SavedModel export: what TF Serving, the C API, `saved_model_cli` and converters read."""

import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_vae import _files
from keras_vae._parts import check_count
from keras_vae.export.endpoints import Detection, endpoints, input_specs
from keras_vae.models import VAE

__all__ = ["saved_model", "write"]


def saved_model(
    vae: VAE,
    path: str | os.PathLike[str],
    *,
    version: int = 1,
    name: str | None = None,
    detector: Detection | None = None,
) -> Path:
    """Writes a model as a SavedModel with the signatures of `endpoints`.

    Servers read `path` as a model of that name and its numbered folders as the versions; everything
    else reads the numbered folder. `serving_default` is `reconstruct`: what calling the Keras model
    gives. The file holds those weights that the signatures use, each once, and neither optimiser nor
    draw counter. `tf.saved_model.load` gives one more function, `in_support(x)`: where x is what the
    likelihood is defined for. A request for every signature lies in `assets.extra`, with which
    TensorFlow Serving warms up.

    Args:
        vae: the model.
        path: folder of the model, whose name servers take for the model's.
        version: the numbered folder to write there; an earlier SavedModel in its place is replaced.
        name: the model's name in the requests to warm up with; by default that of the folder.
        detector: an `applications.Detector` of this model: the signature `score` then flags
            anomalies, and `assets.extra/detector.json` says at which threshold.

    Returns:
        The numbered folder, `path`/`version`.

    Raises:
        FileExistsError: where that folder is something other than a SavedModel; nothing is touched.
        ValueError: as in `endpoints`; an earlier SavedModel then stays as it was.
    """
    check_count("saved_model", version=version)
    folder = Path(path) / str(version)
    if found := set("[]*?") & set(str(folder.resolve())):
        raise ValueError(
            f"TensorFlow takes {' '.join(sorted(found))} in a path for wildcards, and cannot read what it "
            f"writes there. Choose another path than {folder}."
        )
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / "saved_model.pb").is_file():
        raise FileExistsError(
            f"{folder} exists and is not a SavedModel (it holds no saved_model.pb); nothing was "
            "changed. Choose another path."
        )
    functions = endpoints(vae, detector=detector)
    with _files.replacing(folder) as new:
        write(functions | {"serving_default": functions["reconstruct"]}, new, _in_support(vae))
        _write_warm_up(functions, new, name or Path(path).resolve().name)
        if detector is not None:
            about = json.dumps(detector.to_json(), indent=2) + "\n"
            (new / "assets.extra" / "detector.json").write_text(about)
    return folder


def write(
    functions: dict[str, tf.types.experimental.ConcreteFunction],
    path: Path,
    in_support: tf.types.experimental.ConcreteFunction | None = None,
) -> None:
    """Writes traced functions and the variables that they read."""
    variables = {
        variable.ref(): variable
        for function in functions.values()
        for variable in function.variables  # pyright: ignore[reportAttributeAccessIssue]
    }
    try:
        module = _Weights(list(variables.values()), in_support)
        tf.saved_model.save(module, str(path), signatures=functions)
    except AssertionError as error:
        raise ValueError(
            "A network keeps state that is no variable, such as the table of a StringLookup, and cannot be "
            "exported. Take its result as an input of the network instead. "
            f"(TensorFlow: {str(error).splitlines()[0]})"
        ) from error
    except tf.errors.OpError as error:
        raise OSError(f"{path} could not be written: {error.message.splitlines()[0]}") from error


class _Weights(tf.Module):
    """Bare variables, each once, and what `tf.saved_model.load` gives besides the signatures.

    Keras objects in their place would make the file unreadable for loaders that run sessions, as TF
    Serving and the C API do.
    """

    def __init__(
        self,
        variables: list[tf.Variable],
        in_support: tf.types.experimental.ConcreteFunction | None,
    ):
        super().__init__()
        self.weights = variables
        self.in_support = in_support


def _in_support(vae: VAE) -> tf.types.experimental.ConcreteFunction:
    """Of x [B, *event], bool like x: where its finite values lie in the likelihood's support."""
    x = tf.TensorSpec((None, *vae.event_shape), tf.float32)
    return tf.function(vae.likelihood.contains).get_concrete_function(x)


def _write_warm_up(
    functions: dict[str, tf.types.experimental.ConcreteFunction], path: Path, name: str
) -> None:
    """One request per signature, for a single row of zeros, as TensorFlow Serving replays them."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    predict: Any = predict_pb2
    logs: Any = prediction_log_pb2
    extra = path / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as records:
        for signature, function in functions.items():
            request = predict.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            specs = input_specs(function)
            for key, spec in specs.items():
                zeros = tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
                if key == "num_samples":
                    zeros = tf.ones_like(zeros)
                request.inputs[key].CopyFrom(tf.make_tensor_proto(zeros.numpy()))  # pyright: ignore[reportAttributeAccessIssue]
            log = logs.PredictionLog(predict_log=logs.PredictLog(request=request))
            records.write(log.SerializeToString())
