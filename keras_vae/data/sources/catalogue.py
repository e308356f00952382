"""TensorFlow Datasets, and the IDX files that are read through one of its builders.

TensorFlow Datasets is imported when a source needs it.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae._parts import nearest
from keras_vae.data.examples import Array, Examples, RawData, checked
from keras_vae.data.idx import has_idx_files
from keras_vae.data.records import Records

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_TFDS = "tfds:"
_FACTOR = "label_"  # features of dsprites, shapes3d and smallnorb: what made the image


def is_embedded(source: str) -> bool:
    """Whether the source is the embedded MNIST."""
    return source == "mnist"


def read_embedded(source: str) -> RawData:
    """Reads the embedded MNIST, for dynamic binarisation and with 5,000 validation examples."""
    from keras_vae.data.builders import EmbeddedMnist

    return read_builder(
        EmbeddedMnist(), source, protocol="dynamic", num_validation=5000, is_shuffled=True
    )


def is_idx_folder(source: str) -> bool:
    """Whether the source is a folder with IDX files."""
    return Path(source).is_dir() and has_idx_files(Path(source))


def read_idx_folder(source: str) -> RawData:
    """Reads the IDX files of a folder."""
    from keras_vae.data.builders import IdxFolder

    return read_builder(IdxFolder(data_dir=source), Path(source).resolve().name, is_shuffled=True)


def is_tfds(source: str) -> bool:
    """Whether the source is a name in the TFDS catalogue."""
    return source.startswith(_TFDS)


def names() -> list[str]:
    """The names in the TFDS catalogue."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def read_tfds(source: str) -> RawData:
    """Reads a TFDS data set, preparing it first if that has not been done on this machine."""
    return read_builder(_prepared(source), source)


def stream_tfds(source: str) -> RawData:
    """The pictures in the records of a TFDS data set, which is prepared first in the same way."""
    import tensorflow_datasets as tfds

    from keras_vae.data.sources.shards import ShardReader

    builder = _prepared(source)
    feature = _image_features(builder, source)["image"]
    kinds = (tfds.core.FileFormat.TFRECORD, tfds.core.FileFormat.ARRAY_RECORD)
    is_local = "://" not in str(builder.data_dir)
    if (
        not isinstance(feature, tfds.features.Image)
        or builder.info.file_format not in kinds
        or not is_local
    ):
        raise ValueError(
            f"{source} is not streamed. Expected pictures (features.Image) in TFRecord or ArrayRecord files on "
            f"this machine. Received: {type(feature).__name__}, {builder.info.file_format}, in {builder.data_dir}. "
            "Leave stream out, or prepare the data anew with another file_format."
        )
    sets: dict[str, Any] = {
        split: Examples(
            Records(ShardReader([Path(p) for p in builder.info.splits[split].filepaths]))
        )
        for split in ("train", "validation", "test")
        if split in builder.info.splits
    }
    return RawData(name=source, **sets)


def _prepared(source: str) -> "tfds.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    name = source.removeprefix(_TFDS)
    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        near = nearest(name.split("/")[0].split(":")[0], names())
        raise ValueError(
            f"TensorFlow Datasets does not know {name!r}. Expected a name of "
            "https://www.tensorflow.org/datasets/catalog"
            f"{', perhaps ' + ' or '.join(near) if near else ''}."
        ) from error
    except (AssertionError, ValueError) as error:
        raise ValueError(
            f"TensorFlow Datasets has no such configuration or version of {name!r}: {error}"
        ) from error
    try:
        builder.download_and_prepare()
    except (OSError, AssertionError, tfds.download.DownloadError) as error:
        raise FileNotFoundError(
            f"{source!r} is not prepared in {builder.data_dir_root} and could not be downloaded: "
            f"{error} Run `tfds build {name}` on a machine with a network connection and copy its "
            "folder here, or set the environment variable TFDS_DATA_DIR to where it is."
        ) from error
    return builder


def read_builder(builder: "tfds.core.DatasetBuilder", name: str, **defaults: Any) -> RawData:
    """Reads the image and label features of a prepared builder, and factors, `label_...`, where it has them.

    Args:
        builder: The builder.
        name: What the data is called in summaries.
        **defaults: The source's own defaults, fields of `RawData`.

    Returns:
        The examples of the splits `train` and, where they exist, `validation` and `test`.

    Raises:
        ValueError: If there are no images of one size, or no split `train`.
    """
    import tensorflow_datasets as tfds

    features = _image_features(builder, name)
    has_classes = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    config = tfds.ReadConfig(try_autocache=False, skip_prefetch=True)
    factor_sizes: dict[str, Any] = {
        name.removeprefix(_FACTOR): feature.num_classes
        for name, feature in features.items()
        if name.startswith(_FACTOR) and isinstance(feature, tfds.features.ClassLabel)
    }
    factor_names = [_FACTOR + name for name in factor_sizes]
    names = ["image", *(["label"] if has_classes else []), *factor_names]
    has_random_access = builder.info.file_format is tfds.core.FileFormat.ARRAY_RECORD

    def columns(split: str) -> dict[str, Array]:
        if has_random_access:  # and no tf.data.Dataset
            as_data_source: Any = builder.as_data_source
            rows = as_data_source(split)
            return {name: np.stack([row[name] for row in rows]) for name in names}
        as_dataset: Any = builder.as_dataset
        whole = as_dataset(split=split, batch_size=-1, read_config=config)
        return {name: whole[name].numpy() for name in names}

    def read(split: str) -> Examples | None:
        if split not in builder.info.splits:
            return None
        values = columns(split)
        examples = checked(values["image"], values.get("label"), split=split)
        if not factor_names:
            return examples
        factors = np.stack([values[name] for name in factor_names], axis=1)
        return dataclasses.replace(examples, factors=factors)

    return RawData(
        name=name,
        **{split: read(split) for split in ("train", "validation", "test")},
        class_names=tuple(features["label"].names) if has_classes else None,
        factor_sizes=factor_sizes,
        **defaults,
    )


def _image_features(builder: "tfds.core.DatasetBuilder", name: str) -> Any:
    """The builder's features, if there are images of one size and a split for training."""
    features: Any = builder.info.features
    if features is None or "image" not in features:
        raise ValueError(
            f"{name} has no images. Expected a feature named image. "
            f"Received: {', '.join(features or ())}."
        )
    if None in features["image"].shape:
        raise ValueError(
            f"The images of {name} differ in size. Expected one shape for all. Received: "
            f"{features['image'].shape}. Crop them and load the arrays."
        )
    if "train" not in builder.info.splits:
        raise ValueError(
            f"{name} has no training set. Expected a split named train. "
            f"Received: {', '.join(builder.info.splits)}."
        )
    return features
