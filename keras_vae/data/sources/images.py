"""Folders of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae.data.examples import SET_NAMES, Array, Examples, RawData
from keras_vae.data.records import Records

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_OTHER_SUFFIXES = {".webp", ".gif", ".tif", ".tiff", ".heic", ".avif"}
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _BMP = b"\xff\xd8\xff", b"BM"
_BIT_DEPTH = 24  # where a PNG file says it


def is_image_folder(source: str) -> bool:
    """Whether the source is a folder with images, at most two levels down."""
    folder = Path(source)
    levels = (folder, *_folders(folder)) if folder.is_dir() else ()
    return any(images_in(level) or any(map(images_in, _folders(level))) for level in levels)


def stream_image_folder(source: str) -> RawData:
    """The images of a folder, of folders that are classes, or of sets of either."""
    folder = Path(source)
    folders = _sets(folder) or {"train": folder}
    sets, class_names = {}, {}
    for split, held in folders.items():
        sets[split], class_names[split] = _set_in(held)
        if class_names[split] != class_names["train"]:
            raise ValueError(
                f"The classes of {folders['train']} and {held} differ. Expected "
                f"{class_names['train']}. Received: {class_names[split]}."
            )
    return RawData(folder.resolve().name, **sets, class_names=class_names["train"])


def _sets(folder: Path) -> dict[str, Path]:
    """The subfolders that are sets; none where they are classes."""
    found, others = {}, []
    for child in _folders(folder):
        split = next((s for s, names in SET_NAMES.items() if child.name.lower() in names), None)
        if split is None:
            others.append(child.name)
        elif split in found:
            raise ValueError(
                f"{folder} has two {split} sets, {found[split].name} and {child.name}. Expected one."
            )
        else:
            found[split] = child
    if found and ("train" not in found or others or images_in(folder)):
        beside = [*(child.name for child in found.values()), *others]
        raise ValueError(
            f"It is not clear whether the subfolders of {folder} are sets or classes. Expected train, with "
            "or without validation and test, and no images or folders beside them; or classes only. "
            f"Received: {', '.join(beside)}. Where a class has the name of a set, put the classes into a "
            "folder train."
        )
    return {split: found[split] for split in SET_NAMES if split in found}


def _set_in(folder: Path) -> tuple[Examples, tuple[str, ...] | None]:
    paths = images_in(folder)
    classes = [child for child in _folders(folder) if images_in(child)]
    _check_nothing_is_left_out(folder)
    if not classes:
        return Examples(Records(ImageFiles(paths, folder))), None
    if paths:
        raise ValueError(
            f"{folder} has images both in itself and in subfolders. Expected images in subfolders "
            f"only, one for each class. Received: {paths[0].name} (and {len(paths) - 1:,} more) "
            f"beside the folder {classes[0].name}."
        )
    members = [images_in(child) for child in classes]
    files = ImageFiles([path for paths in members for path in paths], folder)
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in members])
    return Examples(Records(files), labels), tuple(child.name for child in classes)


def _check_nothing_is_left_out(folder: Path) -> None:
    """Raises for pictures of other kinds, and for pictures deeper than they are looked for."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        suffix = path.suffix.lower()
        if any(part.startswith(".") for part in inside) or not path.is_file():
            continue
        if suffix in _OTHER_SUFFIXES:
            raise ValueError(
                f"{path} is a picture of a kind that is not read here. Expected {', '.join(sorted(_SUFFIXES))}. "
                "Convert it, or take it out of the folder."
            )
        if suffix in _SUFFIXES and len(inside) > 2:
            raise ValueError(
                f"{path} lies deeper than images are looked for. Expected images in {folder}, or in its "
                "subfolders, one for each class."
            )


class ImageFiles:
    """Images of one size; see `records.Reader`.

    Args:
        paths: the files.
        folder: where they are, or the folders that they are in.
    """

    def __init__(self, paths: list[Path], folder: Path):
        if not paths:
            raise ValueError(
                f"{folder} is empty. Expected images ({', '.join(sorted(_SUFFIXES))})."
            )
        self.paths, self.dtype = paths, np.dtype(np.uint8)
        self.shape = _read_images(paths[:1])[0].shape
        self.identity = "\n".join(
            f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths
        )

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, number):
        return str(self.paths[number])

    def read(self, numbers):
        paths = [self.paths[number] for number in numbers]
        images = _read_images(paths)
        for path, image in zip(paths, images, strict=True):
            if image.shape != self.shape:
                raise ValueError(
                    f"{path} has another size than the images before it. Expected "
                    f"{self.shape} (height, width, channels) as in {self.paths[0]}. "
                    f"Received: {image.shape}. Resize it or take it out of the folder."
                )
        return np.asarray(images)


def _read_images(paths: Sequence[Path]) -> Sequence[Array] | Array:
    try:
        return decode_images([path.read_bytes() for path in paths])
    except ValueError as error:
        if len(paths) > 1:  # sizes differ, or one of them is unfit
            return [_read_images([path])[0] for path in paths]
        raise ValueError(f"{paths[0]} {error} Take it out of the folder or get it anew.") from error


def is_picture(content: bytes) -> bool:
    """Whether bytes begin like a PNG, JPEG or BMP file; of the last, whether they also say their number."""
    is_bmp = content.startswith(_BMP) and int.from_bytes(content[2:6], "little") == len(content)
    return content.startswith((_PNG, _JPEG)) or is_bmp


def decode_images(contents: Sequence[bytes]) -> Array:
    """PNG, JPEG or BMP files of one size as uint8 [B, height, width, channels].

    Raises:
        ValueError: where one is something else; the message begins with a verb.
    """
    for content in contents:
        if content.startswith(_PNG) and content[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10":
            raise ValueError(
                "has 16 bits per channel, of which 8 would be lost. Expected images of 8 bits: save it with "
                "8 bits, or load the values from an .npy file."
            )
    try:
        return _decode(tf.constant(contents)).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            "cannot be read as an image. Expected a whole PNG, JPEG or BMP file. "
            f"Received: {len(contents[0]):,} bytes of something else."
        ) from error


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _decode(contents: tf.Tensor) -> tf.Tensor:
    def one(content):
        return tf.ensure_shape(
            tf.io.decode_image(content, expand_animations=False), [None, None, None]
        )

    spec = tf.TensorSpec([None, None, None], tf.uint8)
    return tf.map_fn(one, contents, fn_output_signature=spec)


def images_in(folder: Path) -> list[Path]:
    """The images of a folder itself, by name."""
    return [
        path for path in _entries(folder) if path.suffix.lower() in _SUFFIXES and path.is_file()
    ]


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
