"""Write an objective, then combine it with any prior, schedule and likelihood of the package.

The objective trains on a mixture of the ELBO and the importance-weighted bound (CIWAE, Rainforth et
al. 2018, arXiv:1802.04537): one class, because everything else is in the parts.

    python examples/parts_of_your_own.py --epochs 5
"""

import argparse
from typing import ClassVar

import keras
import tensorflow as tf

from keras_vae import VAE, data, estimators, likelihoods, networks, priors
from keras_vae.objectives import Objective, value_object


@value_object
class Combination(Objective):
    """-(mix * ELBO + (1 - mix) * importance-weighted bound), from the same K samples."""

    num_samples: int = 5
    mix: float | keras.optimizers.schedules.LearningRateSchedule = 0.5
    terms: ClassVar = ("loss", "bound")
    monitor: ClassVar = "bound"

    def __call__(self, model, batch, training=False):
        q, z = model.infer(batch, self.num_samples, training=training)
        log_weights = (
            model.log_likelihood(batch, z, training=training)
            + model.prior_over(batch).log_prob(z)
            - q.log_prob(z)
        )
        elbo = tf.reduce_mean(log_weights)
        bound = tf.reduce_mean(estimators.importance_weighted_bound(log_weights))
        return {"loss": -(self.mix * elbo + (1 - self.mix) * bound), "bound": -bound}


def main(epochs: int, steps: int | None):
    mnist = data.load("mnist", protocol="dynamic")
    encoder, decoder = networks.mlp(mnist.shape, latent_dim=20, output_mean=mnist.mean)
    from_elbo_to_bound = keras.optimizers.schedules.PolynomialDecay(1.0, 1000, 0.0)
    vae = VAE(
        encoder,
        decoder,
        likelihood=likelihoods.Bernoulli(event_rank=3),
        prior=priors.NormalMixture(20, num_components=10),
        objective=Combination(mix=from_elbo_to_bound),
    )
    vae.compile("adam")
    vae.fit(
        mnist.train,
        steps_per_epoch=steps or mnist.steps_per_epoch,
        epochs=epochs,
        validation_data=mnist.validation,
    )
    vae.save("combination.keras")
    again = keras.saving.load_model("combination.keras")
    print(again.evaluate(mnist.validation, return_dict=True, verbose=0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, help="steps per epoch; a whole epoch by default")
    main(**vars(parser.parse_args()))
