"""Models whose answers are known in closed form."""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae import VAE, likelihoods, networks

tfd = tfp.distributions


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(W z + b, noise^2 I): probabilistic PCA.

    log p(x) = log N(x; b, W W^T + noise^2 I). The columns of W are orthogonal, so the true
    posterior is the diagonal N(V W^T (x - b) / noise^2, V) with V = (I + W^T W / noise^2)^-1, which
    a linear encoder can give.
    """

    W: np.ndarray
    b: np.ndarray
    noise: float

    @classmethod
    def random(cls, x_size=5, z_size=3, noise=0.7, seed=0):
        rng = np.random.default_rng(seed)
        orthogonal, _ = np.linalg.qr(rng.normal(size=(x_size, z_size)))
        return cls(orthogonal * rng.uniform(0.5, 2.0, z_size), rng.normal(size=x_size), noise)

    def sample(self, num_samples, seed=1):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(num_samples, self.W.shape[1]))
        x = z @ self.W.T + self.b + self.noise * rng.normal(size=(num_samples, len(self.b)))
        return x.astype(np.float32)

    def log_prob(self, x) -> np.ndarray:
        """log p(x) of every row, in NumPy float64."""
        covariance = self.W @ self.W.T + self.noise**2 * np.eye(len(self.b))
        centred = np.asarray(x, np.float64) - self.b
        _, log_det = np.linalg.slogdet(covariance)
        quadratic = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
        return -0.5 * (quadratic + log_det + len(self.b) * np.log(2 * np.pi))

    def gradient(self, x) -> np.ndarray:
        """d mean_n log p(x_n) / d W^T, [z_size, x_size]: the shape of the decoder's kernel."""
        W = tf.constant(self.W.T)
        with tf.GradientTape() as tape:
            tape.watch(W)
            covariance = tf.matmul(W, W, transpose_a=True) + self.noise**2 * tf.eye(
                len(self.b), dtype=tf.float64
            )
            p = tfd.MultivariateNormalTriL(self.b, tf.linalg.cholesky(covariance))
            value = tf.reduce_mean(p.log_prob(np.asarray(x, np.float64)))
        return tape.gradient(value, W).numpy()

    def vae(self, *, shift=0.0, widen=1.0, **parts) -> VAE:
        """The same model as a VAE; its posterior is exact, or off by `shift` in location and
        `widen` in scale."""
        x_size, z_size = self.W.shape
        likelihood = likelihoods.Normal(scale=self.noise)
        encoder, decoder = networks.mlp(x_size, z_size, hidden=(), likelihood=likelihood)
        variance = 1.0 / (1.0 + np.sum(self.W**2, axis=0) / self.noise**2)
        to_mean = self.W * variance / self.noise**2
        kernel = np.concatenate([to_mean, np.zeros_like(to_mean)], axis=1)
        bias = np.concatenate([shift - self.b @ to_mean, np.log(variance * widen**2)])
        encoder.layers[-1].set_weights([kernel, bias])
        decoder.layers[-1].set_weights([self.W.T, self.b])
        return VAE(encoder, decoder, likelihood=likelihood, **parts)
