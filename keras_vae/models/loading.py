"""Model files, which may come from anywhere, looked at before Keras builds what they describe."""

import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

_FILES = ("config.json", "metadata.json", "model.weights.h5")
_ASSETS = "assets/"
_LARGEST_TEXT = 2**24  # bytes of config.json
_MOST_SHRUNK = 20  # times that compression makes an entry smaller; weights hardly shrink at all
_LARGEST_EXAMPLE = 2**28  # elements of one input
_SIZES = ("units", "filters", "input_dim", "output_dim", "num_components", "hidden")
_TRUSTED = ("keras", "keras_vae", "builtins")


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a `.keras` file in Keras's safe mode, after a look at what is in it.

    Nothing is unpacked to disk and nothing is built before the archive, its config and its weights
    have been found to be what `model.save` writes: entries by their own names and of their stated
    sizes, layers of Keras, of this package or registered by the caller, without code in them, and of
    sizes that the weights in the file have.

    Args:
        path: the file.

    Returns:
        The model, compiled if it was.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for anything else than a whole model; the message says what it is.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive)
            config = json.loads(archive.read("config.json"))
            dimensions = _dimensions(archive)
        _check_config(config, dimensions)
        model: Any = keras.saving.load_model(path, safe_mode=True)
        return model
    except OSError as error:
        if path.is_dir() or not os.access(path, os.R_OK):
            raise OSError(f"{path} cannot be read: {error}") from error
        raise _damaged(path, error) from error
    except Exception as error:  # whatever the damage leads to
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = next(iter(str(error).strip().splitlines()), "")
    return ValueError(
        f"{path} cannot be loaded: it is damaged, or no model of Keras's safe mode. "
        f"({type(error).__name__}: {reason[:500]})"
    )


def _check_entries(archive: zipfile.ZipFile) -> None:
    """Raises for entries that a model does not have, that leave the archive, or that are bombs."""
    names = [entry.filename for entry in archive.infolist()]
    if len(set(names)) != len(names) or not set(_FILES) <= set(names):
        raise ValueError(f"Expected the entries {', '.join(_FILES)}, once each. Found: {names[:9]}")
    for entry in archive.infolist():
        name = entry.filename
        leaves = name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")
        if leaves or not (name in _FILES or name.startswith(_ASSETS)):
            raise ValueError(f"The archive holds {name!r}, which is no part of a model")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"{name} is a symbolic link")
        if entry.file_size > _MOST_SHRUNK * entry.compress_size + 1024:
            raise ValueError(
                f"{name} unpacks {entry.compress_size:,} bytes to {entry.file_size:,}, far more than "
                "a model does"
            )
        if name.endswith(".json") and entry.file_size > _LARGEST_TEXT:
            raise ValueError(f"{name} has {entry.file_size:,} bytes, more than {_LARGEST_TEXT:,}")


def _dimensions(archive: zipfile.ZipFile) -> set[int]:
    """The sizes that the axes of the weights have; raises where weights are not in the file itself."""
    sizes: set[int] = set()

    def look(name: str, entry: Any) -> None:
        if not isinstance(entry, h5py.Dataset):
            return
        if entry.external or entry.is_virtual:
            raise ValueError(f"the weights {name} are in another file")
        if entry.id.get_storage_size() < entry.nbytes:
            raise ValueError(
                f"the weights {name} claim {entry.nbytes:,} bytes of shape {entry.shape}, and the file "
                f"holds {entry.id.get_storage_size():,}"
            )
        if entry.size:
            sizes.update(entry.shape)

    with archive.open("model.weights.h5") as content, h5py.File(content, "r") as weights:
        _check_links(weights)
        weights.visititems(look)
    return sizes


def _check_links(group: h5py.Group) -> None:
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"the weights {group.name}/{name} are a link")
        if isinstance(child := group[name], h5py.Group):
            _check_links(child)


def _check_config(config: Any, dimensions: set[int]) -> None:
    """Raises for code, for classes of others, for files to read, and for sizes without weights."""
    for entry in _objects(config):
        name, module = entry["class_name"], entry.get("module")
        if name in ("Lambda", "__lambda__"):
            raise ValueError("it holds a Lambda layer, whose code would be run")
        registered = keras.saving.get_registered_object(str(entry.get("registered_name")))
        is_trusted = module is None or str(module).split(".")[0] in _TRUSTED
        is_named = registered is not None and registered.__name__ == name
        if not is_named and (registered is not None or not is_trusted):
            raise ValueError(
                f"it holds {module}.{name}, which is neither Keras's nor registered here. If you trust it, "
                "import what defines it first"
            )
        settings = entry.get("config")
        if not isinstance(settings, dict):
            continue
        if any(isinstance(settings.get(key), str) for key in ("vocabulary", "idf_weights")):
            raise ValueError(f"the layer {name} would read a file of this machine")
        allocates = not isinstance(registered, type) or issubclass(registered, keras.Layer)
        for key in _SIZES if allocates else ():  # a value object has no weights
            given = settings.get(key)
            for size in given if isinstance(given, list) else [given]:
                if not isinstance(size, int) or size in dimensions:
                    continue
                raise ValueError(
                    f"the layer {name} has {key}={size:,}, and no weights of that size"
                )
        shape = settings.get("batch_shape")
        if isinstance(shape, list) and math.prod(s or 1 for s in shape) > _LARGEST_EXAMPLE:
            raise ValueError(f"an input has the shape {shape}")


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialised object in a config, however deep."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
