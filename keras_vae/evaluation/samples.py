import dataclasses
import hashlib
from typing import Any

import keras
import numpy as np

from keras_vae._parts import check_count
from keras_vae.evaluation.distances import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)

_ROWS = 500  # at once


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSpace:
    """The features in which samples are compared: the last hidden layer of a classifier.

    Attributes:
        network: `keras.Model`, x [N, *event] -> features [N, F].
        about: which classifier they are of, in words.
        accuracy: of the classifier on examples it has not seen, or None where it is not known.
    """

    network: keras.Model
    about: str
    accuracy: float | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Features of examples, float32 [N, F].

        Raises:
            ValueError: for no examples, for those of another shape, and for NaN or infinite values.
        """
        x, shape = np.asarray(x, np.float32), self.network.input_shape[1:]
        if not len(x) or x.shape[1:] != shape:
            raise ValueError(
                f"Expected examples of shape {shape}, at least one. Received an array of shape {x.shape}."
            )
        _check_finite(x)
        return self.network.predict(x, batch_size=_ROWS, verbose=0)

    @property
    def sha256(self) -> str:
        """Of the weights: distances can be compared if they are in the same feature space."""
        digest = hashlib.sha256()
        for array in self.network.get_weights():
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def __str__(self):
        read = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        return f"features of {self.about}{read}, sha256 {self.sha256[:12]}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleQuality:
    """How like real examples generated ones are, in the feature space of a classifier.

    None of it is Inception-FID, and none can be compared with one: not across feature spaces.

    Attributes:
        frechet_distance: see `evaluation.frechet_distance`; lower is better.
        kernel_distance: see `evaluation.kernel_distance`; lower is better.
        precision, recall: see `evaluation.precision_recall`.
        density, coverage: see `evaluation.density_coverage`.
        num_real, num_generated: examples on either side.
        features: which feature space.
    """

    frechet_distance: float
    kernel_distance: float
    precision: float
    recall: float
    density: float
    coverage: float
    num_real: int
    num_generated: int
    features: str

    def rows(self) -> list[tuple[str, str]]:
        """Rows of (what, value) for a table."""
        return [
            ("Fréchet distance", f"{self.frechet_distance:.3f}"),
            ("kernel distance", f"{self.kernel_distance:.3f}"),
            ("precision", f"{self.precision:.1%}"),
            ("recall", f"{self.recall:.1%}"),
            ("density", f"{self.density:.3f}"),
            ("coverage", f"{self.coverage:.1%}"),
        ]


def sample_quality(
    real: np.ndarray, generated: np.ndarray, features: FeatureSpace
) -> SampleQuality:
    """Compares generated examples with real ones that the model was not trained on.

    Compare like with like: of binarised data, pixels drawn from p(x|z) (`VAE.draw`), and not the
    probabilities that `generate` shows. Another set of real examples in the place of `generated` says
    what can be attained.

    Args:
        real, generated: examples [N, *event] and [M, *event].
        features: where they are compared, of `train_features` or of a classifier of your own.

    Returns:
        A `SampleQuality`.

    Raises:
        ValueError: for examples that the features are not of, NaN or infinite ones, and fewer than 6.

    References:
        Heusel et al. 2017, arXiv:1706.08500; Binkowski et al. 2018, arXiv:1801.01401; Kynkäänniemi et
        al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797.
    """
    if not isinstance(features, FeatureSpace):
        raise TypeError(
            "features has to be a FeatureSpace, of train_features or of features_of(classifier). Received: "
            f"{features!r}"
        )
    a, b = features(real), features(generated)
    precision, recall = precision_recall(a, b)
    density, coverage = density_coverage(a, b)
    return SampleQuality(
        frechet_distance=frechet_distance(a, b),
        kernel_distance=kernel_distance(a, b),
        precision=precision,
        recall=recall,
        density=density,
        coverage=coverage,
        num_real=len(a),
        num_generated=len(b),
        features=str(features),
    )


def features_of(classifier: keras.Model, about: str, accuracy: float | None = None) -> FeatureSpace:
    """The feature space of a classifier: what its last layer reads.

    Args:
        classifier: a Functional or Sequential `keras.Model`, x [N, *event] -> [N, classes].
        about: which classifier it is, in words.
        accuracy: on examples that it has not seen.

    Raises:
        TypeError: for any other classifier.
        ValueError: where its last layer does not read vectors.
    """
    if not isinstance(classifier, keras.Model) or not getattr(classifier, "inputs", None):
        raise TypeError(
            "features_of takes a classifier whose layers it can see, a Functional or Sequential keras.Model that is "
            f"built. Received: {classifier!r}. Make a FeatureSpace of the layers that are meant."
        )
    network = keras.Model(classifier.inputs, classifier.layers[-1].input)
    if len(network.output_shape) != 2:
        raise ValueError(
            "The last layer of the classifier has to read features (batch, F). Received a classifier whose last "
            f"layer reads {network.output_shape}. Make a FeatureSpace of the layer that is meant."
        )
    return FeatureSpace(network=network, about=about, accuracy=accuracy)


def train_features(
    x: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    epochs: int = 3,
    seed: int = 0,
) -> FeatureSpace:
    """Trains a small classifier on a data set, and gives its 64 features: nothing is downloaded.

    Convolutional for images, dense for vectors. Features that tell classes apart ignore what the
    classes have in common: a difference that does not matter to them, such as in background noise, is
    not seen.

    Args:
        x: training examples [N, *event], under the protocol that samples will be compared under.
        labels: integers [N], of at least 2 classes.
        held_out: examples and labels that its accuracy is measured on.
        epochs: over x.
        seed: of weights and order.

    Returns:
        A `FeatureSpace`.

    Raises:
        ValueError: for labels of fewer than 2 classes or of another number than x, and NaN in x.
    """
    check_count("train_features", epochs=epochs)
    for examples, names in ((x, labels), held_out):
        if not len(examples) or np.ndim(names) != 1:
            raise ValueError(
                "The features are trained, and their accuracy is measured, on one example or more with labels [N]. "
                f"Received {len(examples)} examples and labels of shape {np.shape(names)}."
            )
        if len(examples) != len(names):
            raise ValueError(
                f"Every example has a label. Received {len(examples)} examples and {len(names)} labels."
            )
        _check_finite(examples)
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"A classifier needs at least 2 classes. Received: {len(classes)}")
    classifier: Any = _classifier(x.shape[1:], len(classes), seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile("adam", loss)
    order = np.random.default_rng(seed % 2**64)
    for _ in range(epochs):
        rows = order.permutation(len(x))
        classifier.fit(x[rows], numbers[rows], batch_size=128, shuffle=False, verbose=0)
    found = classifier.predict(held_out[0], batch_size=_ROWS, verbose=0).argmax(axis=1)
    accuracy = float(np.mean(classes[found] == held_out[1]))
    about = f"a classifier of {len(classes)} classes, {epochs} epochs on {len(x):,} examples, seed {seed}"
    return features_of(classifier, about, accuracy)


def _check_finite(x: np.ndarray) -> None:
    if not np.isfinite(x).all():
        raise ValueError("The examples hold NaN or infinite values. Expected finite numbers.")


def _classifier(shape: tuple[int, ...], num_classes: int, seed: int) -> keras.Model:
    seeds = iter(np.random.SeedSequence(seed % 2**64).generate_state(4).tolist())

    def weights() -> Any:
        return keras.initializers.GlorotUniform(next(seeds))

    layers = [keras.Input(shape)]
    if len(shape) == 3:
        for channels in (16, 32):
            layers.append(
                keras.layers.Conv2D(
                    channels, 3, 2, "same", activation="relu", kernel_initializer=weights()
                )
            )
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu", kernel_initializer=weights()),
        keras.layers.Dense(num_classes, kernel_initializer=weights()),
    ]
    return keras.Sequential(layers)
