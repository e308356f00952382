"""Pure maths between distributions: tensors in, tensors out."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

__all__ = ["importance_weighted_bound", "kl_divergence"]


def kl_divergence(q: tfd.Distribution, p: tfd.Distribution, z: tf.Tensor) -> tf.Tensor:
    """KL(q || p) in nats: in closed form where TFP has one, else the one-sample estimate log q(z) -
    log p(z).

    Args:
        q, p: distributions with batch shape [...] and the same event.
        z: samples of q, [..., D], used only where there is no closed form.

    Returns:
        float32 [...], summed over the event, not averaged over anything.
    """
    try:
        return q.kl_divergence(p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


def importance_weighted_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """Log (1/K) sum_k w_k, the K-sample lower bound on log p(x), in nats.

    Args:
        log_weights: log p(x|z_k) + log p(z_k) - log q(z_k|x), [K, ...].

    Returns:
        [...].

    Example:
        >>> float(importance_weighted_bound(tf.constant([0.0, 0.0, 0.0])))
        0.0

    References:
        Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, arXiv:1509.00519.
    """
    num_samples = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(num_samples)
