"""Folders of image files."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae.data.examples import Array, Examples, RawData, checked

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_SETS = {"train", "test"}


def is_image_folder(source: str) -> bool:
    """Whether the source is a folder with images, at most two levels down."""
    folder = Path(source)
    levels = (folder, *_folders(folder)) if folder.is_dir() else ()
    return any(_images(level) or any(map(_images, _folders(level))) for level in levels)


def read_image_folder(source: str) -> RawData:
    """Reads a folder of images, of classes of images, or of a `train` and a `test` set."""
    folder = Path(source)
    name = folder.resolve().name
    if {child.name for child in _folders(folder)} != _SETS:
        train, class_names = _read_set(folder, "train")
        return RawData(name, train, class_names=class_names)
    train, class_names = _read_set(folder / "train", "train")
    test, test_class_names = _read_set(folder / "test", "test")
    if class_names != test_class_names:
        raise ValueError(
            f"The classes of {folder / 'train'} and {folder / 'test'} differ. Expected "
            f"{class_names}. Received: {test_class_names}."
        )
    return RawData(name, train, test, class_names)


def _read_set(folder: Path, split: str) -> tuple[Examples, tuple[str, ...] | None]:
    paths = _images(folder)
    classes = [child for child in _folders(folder) if _images(child)]
    if not classes:
        return checked(_read_images(paths, folder), split=split), None
    if paths:
        raise ValueError(
            f"{folder} has images both in itself and in subfolders. Expected images in subfolders "
            f"only, one for each class. Received: {paths[0].name} (and {len(paths) - 1:,} more) "
            f"beside the folder {classes[0].name}."
        )
    members = [_images(child) for child in classes]
    values = _read_images([path for paths in members for path in paths], folder)
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in members])
    return checked(values, labels, split=split), tuple(child.name for child in classes)


def _read_images(paths: list[Path], folder: Path) -> Array:
    if not paths:
        raise ValueError(f"{folder} is empty. Expected images ({', '.join(sorted(_SUFFIXES))}).")
    first = _read_image(paths[0])
    values = np.empty((len(paths), *first.shape), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, image in enumerate(pool.map(_read_image, paths)):
            if image.shape != first.shape:
                raise ValueError(
                    f"{paths[number]} has another size than the images before it. Expected "
                    f"{first.shape} (height, width, channels) as in {paths[0]}. "
                    f"Received: {image.shape}. Resize it or take it out of the folder."
                )
            values[number] = image
    return values


def _read_image(path: Path) -> Array:
    try:
        return tf.io.decode_image(path.read_bytes(), expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{path} cannot be read as an image. Expected a whole PNG, JPEG or BMP file. "
            f"Received: {path.stat().st_size:,} bytes of something else. "
            "Take it out of the folder or get it anew."
        ) from error


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
