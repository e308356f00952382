"""TensorFlow Datasets builders that read IDX files where they are.

A TFDS builder usually downloads its data and writes it anew as records, which takes half a minute
for MNIST and a folder that processes share. These read the four files directly: nothing is
prepared, and nothing is written.
"""

import abc
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_vae.data.examples import Array
from keras_vae.data.idx import find_idx_files, read_idx, read_idx_header

MNIST_FOLDER: Final = Path(__file__).parent / "mnist"
_CHECKSUMS = "SHA256SUMS"
_RANKS = {"image": 3, "label": 1}


class IdxBuilder(tfds.core.DatasetBuilder, skip_registration=True):
    """Serves IDX files, named like those of MNIST, as a TFDS data set; abstract.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`
    and `t10k-labels-idx1-ubyte`, each with or without `.gz`. A file `SHA256SUMS` beside them, in
    the format of `sha256sum`, is verified whenever they are read.
    """

    VERSION = tfds.core.Version("1.0.0")

    # TFDS would delete the folder when asked to download anew.
    def download_and_prepare(self, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Does nothing: the files are read where they are, and never replaced."""

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        raise NotImplementedError(f"{type(self).__name__} reads its files where they are.")

    @abc.abstractmethod
    def _description(self) -> dict[str, Any]:
        """Returns the descriptive arguments of `tfds.core.DatasetInfo`."""

    def _info(self) -> tfds.core.DatasetInfo:
        files = find_idx_files(self.data_dir)
        lengths = {split: self._checked_length(files[split]) for split in files}
        _, (_, height, width) = read_idx_header(files["train"]["image"])
        labels = [read_idx(files[split]["label"]) for split in files]
        return _LocalInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(height, width, 1)),
                    "label": tfds.features.ClassLabel(
                        num_classes=1 + max(int(values.max(initial=0)) for values in labels)
                    ),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
            split_dict=tfds.core.SplitDict(
                [
                    tfds.core.SplitInfo(
                        name=split,
                        shard_lengths=[length],
                        num_bytes=sum(path.stat().st_size for path in files[split].values()),
                        filename_template=tfds.core.ShardedFileTemplate(
                            dataset_name=self.name,
                            data_dir=self.data_path,
                            template=files[split]["image"].name,
                        ),
                    )
                    for split, length in lengths.items()
                ]
            ),
            **self._description(),
        )

    def _checked_length(self, files: dict[str, Path]) -> int:
        """Returns the number of examples, which both files must agree about."""
        lengths = {}
        for column, path in files.items():
            dtype, shape = read_idx_header(path)
            rank = _RANKS[column]
            if dtype != np.uint8 or len(shape) != rank:
                raise ValueError(
                    f"{path} does not hold {column}s. Expected uint8 values of rank {rank}. "
                    f"Received: {dtype} of shape {shape}. Are the files' names mixed up?"
                )
            if 0 in shape:
                raise ValueError(
                    f"{path} is empty. Expected at least one {column}. Received: shape {shape}."
                )
            lengths[column] = shape[0]
        if lengths["image"] != lengths["label"]:
            raise ValueError(
                f"{files['image']} and {files['label']} do not belong together. Expected one label "
                f"for each image. Received: {lengths['image']:,} images and {lengths['label']:,} "
                "labels."
            )
        return lengths["image"]

    def _as_dataset(
        self,
        split: Any,
        decoders: Any = None,
        read_config: Any = None,
        shuffle_files: bool = False,
    ) -> tf.data.Dataset:
        if decoders is not None:
            raise ValueError(
                f"IDX files hold pixels, not encoded images. Expected decoders=None. "
                f"Received: {decoders!r}."
            )
        files = find_idx_files(self.data_dir)
        split_of = {part["image"].name: name for name, part in files.items()}
        checksums = _read_checksums(Path(self.data_dir))
        parts: list[dict[str, Array]] = []
        for shard in self.info.splits[split].file_instructions:
            name = split_of[os.path.basename(shard.filename)]
            stop = None if shard.take == -1 else shard.skip + shard.take
            parts.append(
                {
                    column: read_idx(path, sha256=checksums.get(path.name))[shard.skip : stop]
                    for column, path in files[name].items()
                }
            )
        columns: Any = {
            "image": np.concatenate([part["image"] for part in parts])[..., np.newaxis],
            "label": np.concatenate([part["label"] for part in parts]).astype(np.int64),
        }
        return tf.data.Dataset.from_tensor_slices(columns)


class IdxFolder(IdxBuilder, skip_registration=True):
    """Serves a folder of IDX files as a TFDS data set; see `IdxBuilder`.

    Args:
        data_dir: The folder itself; no name or version is appended.
        config: Not used.
        version: "1.0.0" or None.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If no folder is given, a file is damaged or does not hold what its name says.
    """

    name = "idx_folder"

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        if given_data_dir is None:
            raise ValueError(
                'IdxFolder needs the folder of the IDX files. Expected data_dir="...". '
                "Received: data_dir=None."
            )
        return given_data_dir, given_data_dir

    def _description(self) -> dict[str, Any]:
        return {"description": "Grey images with labels, read from files in the IDX format."}


class EmbeddedMnist(IdxBuilder, skip_registration=True):
    """Serves the MNIST files that come with the package as a TFDS data set; see `IdxBuilder`.

    Args:
        data_dir: Folder to read instead, with the same four files.
        config: Not used.
        version: "1.0.0" or None.

    Example:
    >>> builder = EmbeddedMnist()
    >>> builder.info.splits["train[:10%]"].num_examples
    6000
    >>> image, label = next(iter(builder.as_dataset(split="test", as_supervised=True)))
    >>> image.shape, int(label)
    (TensorShape([28, 28, 1]), 7)

    References:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
        document recognition", Proceedings of the IEEE 86(11):2278-2324, 1998.
    """

    name = "mnist"

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        folder = given_data_dir or str(MNIST_FOLDER)
        return folder, folder

    def _description(self) -> dict[str, Any]:
        return {
            "description": "The MNIST database of handwritten digits.",
            "homepage": "http://yann.lecun.com/exdb/mnist/",
            "citation": _MNIST_CITATION,
            "license": "CC BY-SA 3.0, (c) Yann LeCun and Corinna Cortes",
        }


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does nothing: all that is known comes from the files, not from TFDS's bucket."""


def _read_checksums(folder: Path) -> dict[str, str]:
    path = folder / _CHECKSUMS
    if not path.is_file():
        return {}
    checksums = {}
    for line in filter(str.strip, path.read_text(errors="replace").splitlines()):
        digest, _, name = line.partition(" ")
        if len(digest) != 64 or not name.strip():
            raise ValueError(
                f"{path} is damaged. Expected lines of a SHA-256 and a file name, as sha256sum writes them. "
                f"Received: {line[:100]!r}"
            )
        checksums[name.strip().removeprefix("*")] = digest
    return checksums


_MNIST_CITATION = """
@article{lecun1998gradient,
  title={Gradient-based learning applied to document recognition},
  author={LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal={Proceedings of the IEEE},
  volume={86},
  number={11},
  pages={2278--2324},
  year={1998}
}
"""
