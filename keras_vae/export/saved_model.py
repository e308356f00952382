"""SavedModel export: what TF Serving, the C API, `saved_model_cli` and converters read."""

import os
from pathlib import Path

import tensorflow as tf

from keras_vae import _files
from keras_vae.export.endpoints import endpoints
from keras_vae.models import VAE

__all__ = ["saved_model", "write"]


def saved_model(vae: VAE, path: str | os.PathLike[str]) -> Path:
    """Writes a model as a SavedModel with the signatures of `endpoints`.

    `serving_default` is `reconstruct`: what calling the Keras model gives. The file holds those
    weights that the signatures use, each once, and neither optimiser nor draw counter.

    Args:
        vae: the model.
        path: folder to write; an earlier SavedModel in its place is replaced.

    Returns:
        The path.

    Raises:
        FileExistsError: where `path` is something other than a SavedModel; nothing is touched.
        ValueError: as in `endpoints`; an earlier SavedModel then stays as it was.
    """
    path = Path(path)
    is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if not is_free and not (path / "saved_model.pb").is_file():
        raise FileExistsError(
            f"{path} exists and is not a SavedModel (it holds no saved_model.pb); nothing was "
            "changed. Choose another path."
        )
    functions = endpoints(vae)
    with _files.replacing(path) as new:
        write(functions | {"serving_default": functions["reconstruct"]}, new)
    return path


def write(functions: dict[str, tf.types.experimental.ConcreteFunction], path: Path) -> None:
    """Writes traced functions and the variables that they read."""
    variables = {
        variable.ref(): variable
        for function in functions.values()
        for variable in function.variables  # pyright: ignore[reportAttributeAccessIssue]
    }
    tf.saved_model.save(_Weights(list(variables.values())), str(path), signatures=functions)


class _Weights(tf.Module):
    """Bare variables, each once.

    Keras objects in their place would make the file unreadable for loaders that run sessions, as TF
    Serving and the C API do.
    """

    def __init__(self, variables: list[tf.Variable]):
        super().__init__()
        self.weights = variables
