r"""Whether a conditional VAE draws the digit it is asked for, judged by a classifier of real digits.

    python benchmarks/conditional.py --output benchmarks/results/conditional.json

A convolutional network learns to read the training images of MNIST (grey) with their labels, and is
checked on the test images. A conditional VAE learns the same images, binarised. Then the classifier
reads

    generated     1,000 pictures of every class, z from the prior: the share that is the class asked for
    transferred   1,000 test images, each decoded in its style as every class: the share that is the new
                  class, over the nine classes that the image is not of
    reconstructed the same test images under their own class

and, so that one picture a class cannot pass, the mean distance of a generated picture to the next
of its class is printed beside that of real ones (binarised at one half, share of pixels that
differ).
"""

import argparse
import os
import sys
import time
from pathlib import Path

import machine
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from keras_vae import VAE, data, likelihoods, networks, objectives, priors
from keras_vae.applications import control
from keras_vae.data.splits import steps_per_execution
from keras_vae.training.recipe import adam

CLASSES = 10


def reader(epochs: int) -> tuple[keras.Model, float]:
    """A classifier of grey digits, and its accuracy on the test images."""
    mnist, layers = data.load("mnist", protocol="grey"), keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(mnist.shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    steps = epochs * (mnist.num_train // 128)
    model.compile(adam(2e-3, steps), loss)
    model.fit(mnist.examples("train"), mnist.train_labels, batch_size=128, epochs=epochs, verbose=0)
    return model, share(model, mnist.examples("test"), mnist.test_labels)


def share(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images that the classifier reads as their labels."""
    return float(np.mean(model.predict(images, batch_size=500, verbose=0).argmax(axis=1) == labels))


def trained(mnist: data.Splits, seed: int, given) -> tuple[VAE, float]:
    """A conditional VAE, and the seconds that its training took."""
    keras.utils.set_random_seed(seed)
    encoder, decoder = networks.mlp(
        mnist.shape,
        given.latent_dim,
        hidden=given.hidden,
        conditions={"label": CLASSES},
        output_mean=mnist.mean,
    )
    prior = None
    if given.prior == "conditional":
        prior = priors.ConditionalNormal(
            networks.conditional({"label": CLASSES}, 2 * given.latent_dim, hidden=())
        )
    vae = VAE(
        encoder,
        decoder,
        likelihood=likelihoods.Bernoulli(event_rank=3),
        prior=prior,
        objective=objectives.ELBO(beta=given.beta),
        seed=seed,
    )
    batches = tf.data.Dataset.from_tensor_slices(
        {"x": mnist.examples("train"), "label": mnist.train_labels}
    )
    batches = batches.cache().shuffle(mnist.num_train, seed=seed).batch(128, drop_remainder=True)
    steps = mnist.num_train // 128
    vae.compile(
        adam(2e-3, given.epochs * steps),
        jit_compile=True,
        steps_per_execution=steps_per_execution(steps),
    )
    begun = time.perf_counter()
    vae.fit(batches, epochs=given.epochs, verbose=0)
    return vae, time.perf_counter() - begun


def variety(images: np.ndarray) -> float:
    """The mean share of pixels in which an image [N, ...] differs from the next."""
    binary = images > 0.5
    return float(np.mean(binary[1:] != binary[:-1]))


def measures(vae: VAE, model: keras.Model, mnist: data.Splits, seed: int) -> dict[str, float]:
    asked = np.repeat(np.arange(CLASSES), 1000)
    generated = vae.generate(len(asked), seed=seed, label=asked)
    x, label = mnist.examples("test", 1000), mnist.test_labels[:1000]
    batch = {"x": x, "label": label}
    others = control.analogies(vae, batch, label=np.arange(CLASSES))
    new = np.tile(np.arange(CLASSES), (len(x), 1))
    is_other = new != label[:, np.newaxis]
    by_class = generated.reshape(CLASSES, 1000, *mnist.shape)
    real = [x[label == c] for c in range(CLASSES)]
    return {
        "generated": share(model, generated, asked),
        "lowest class": min(share(model, by_class[c], c * np.ones(1000)) for c in range(CLASSES)),
        "transferred": share(model, others[is_other], new[is_other]),
        "reconstructed": share(model, vae.reconstruct(batch), label),
        "variety": float(np.mean([variety(images) for images in by_class])),
        "variety of real": float(np.mean([variety(images) for images in real])),
        "negative_elbo": vae.evaluate(
            {"x": mnist.examples("test"), "label": mnist.test_labels},
            batch_size=500,
            verbose=0,
            return_dict=True,
        )["negative_elbo"],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent-dim", type=int, default=8)
    parser.add_argument("--hidden", type=int, nargs="*", default=[512, 512])
    parser.add_argument("--beta", type=float, default=2.0)
    parser.add_argument("--prior", choices=["normal", "conditional"], default="normal")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="trainings")
    parser.add_argument("--reader-epochs", type=int, default=6, help="of the classifier")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()

    model, accuracy = reader(given.reader_epochs)
    print(f"the classifier reads {accuracy:.2%} of the test images", file=sys.stderr, flush=True)
    mnist = data.load("mnist", protocol="static")
    runs = []
    for seed in range(given.seeds):
        vae, seconds = trained(mnist, seed, given)
        runs.append({"seconds": seconds, **measures(vae, model, mnist, seed)})
        print(f"seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
        settings = {name: value for name, value in vars(given).items() if name != "output"}
        results = {**machine.describe(), **settings, "classifier": accuracy, "runs": runs}
        machine.save(results, given.output)
    print("| | mean | lowest | highest |\n|---|---|---|---|")
    print(f"| real test images | {accuracy:.2%} | | |")
    for name in ("generated", "lowest class", "transferred", "reconstructed"):
        values = [run[name] for run in runs]
        print(f"| {name} | {np.mean(values):.2%} | {min(values):.2%} | {max(values):.2%} |")
    for name, form in {
        "variety": ".3f",
        "variety of real": ".3f",
        "negative_elbo": ".2f",
        "seconds": ".0f",
    }.items():
        values = [run[name] for run in runs]
        cells = (f"{value:{form}}" for value in (np.mean(values), min(values), max(values)))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
