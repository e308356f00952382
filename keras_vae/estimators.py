"""Pure maths between distributions: tensors in, tensors out."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

__all__ = [
    "KERNELS",
    "aggregate_log_probs",
    "covariance",
    "importance_weighted_bound",
    "kl_by_dimension",
    "kl_divergence",
    "maximum_mean_discrepancy",
]


def kl_divergence(q: tfd.Distribution, p: tfd.Distribution, z: tf.Tensor) -> tf.Tensor:
    """KL(q || p) in nats: in closed form where TFP has one, else the one-sample estimate log q(z) -
    log p(z).

    Args:
        q, p: distributions with batch shape [...] and the same event.
        z: samples of q, [..., D], used only where there is no closed form.

    Returns:
        float32 [...], summed over the event, not averaged over anything.
    """
    if isinstance(q, tfd.MultivariateNormalTriL) and _is_product_of_normals(p):
        p = tfd.MultivariateNormalDiag(p.mean(), p.stddev())  # the form that TFP pairs with q's
    try:
        return q.kl_divergence(p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


def _is_product_of_normals(p: tfd.Distribution) -> bool:
    return isinstance(p, tfd.Independent) and isinstance(p.distribution, tfd.Normal)


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


def kl_by_dimension(q: tfd.Independent, p: tfd.Independent) -> tf.Tensor:
    """KL(q_d || p_d) in nats of each dimension, [..., D], of products of one-dimensional distributions."""
    return tfd.kl_divergence(q.distribution, p.distribution)


def aggregate_log_probs(
    q: tfd.Independent, z: tf.Tensor, num_examples: int, *, stratified: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The aggregate posterior's log q(z) and log prod_d q(z_d) at z, estimated from a batch.

        log q(z_i) ~ log sum_j w_ij q(z_i|x_j)

    Args:
        q: q(z|x) of a batch, batch shape [B], a product over dimensions.
        z: one draw from each, [B, D].
        num_examples: size N of the set that the batch was taken from.
        stratified: whether w_ij are those of minibatch-stratified sampling, which add up to one over
            the batch: 1/N for z's own example, (N - M) / (N M) for one other and 1/M for the M - 1 left,
            M = B - 1. Otherwise w = 1 / (N B), minibatch-weighted sampling.

    Returns:
        [B] each, in nats.

    References:
        Chen et al., Isolating Sources of Disentanglement in VAEs, 2018, arXiv:1802.04942, appendix C.
    """
    size = tf.shape(z)[0]
    total = tf.cast(tf.maximum(num_examples, size), tf.float32)
    pairs = q.distribution.log_prob(z[:, tf.newaxis, :])  # z_i under q(.|x_j): [B, B, D]
    if stratified:
        others = tf.cast(tf.maximum(size - 1, 1), tf.float32)
        own = tf.eye(size)
        after = tf.roll(own, shift=1, axis=1) * (1.0 - own)  # of a single example there is no other
        weights = own / total + after * (total - others) / (total * others)
        weights += (1.0 - own - after) / others
        log_weights = tf.math.log(tf.maximum(weights, 1e-30))
    else:
        log_weights = -tf.math.log(total * tf.cast(size, tf.float32)) * tf.ones([size, size])
    joint = tf.reduce_logsumexp(log_weights + tf.reduce_sum(pairs, axis=-1), axis=1)
    apart = tf.reduce_logsumexp(tf.expand_dims(log_weights, -1) + pairs, axis=1)
    return joint, tf.reduce_sum(apart, axis=-1)


def covariance(z: tf.Tensor) -> tf.Tensor:
    """The covariance [D, D] over the rows of z [B, D], divided by B."""
    centred = z - tf.reduce_mean(z, axis=0)
    return tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(z)[0], z.dtype)


def _rbf(squares: tf.Tensor, num_dims: tf.Tensor) -> tf.Tensor:
    return tf.exp(-squares / (2.0 * num_dims))


def _imq(squares: tf.Tensor, num_dims: tf.Tensor) -> tf.Tensor:
    scales = [2.0 * num_dims * share for share in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return tf.add_n([scale / (scale + squares) for scale in scales])


KERNELS = {"rbf": _rbf, "imq": _imq}
"""Functions of squared distances and the number of dimensions, for latents of about unit size."""


def maximum_mean_discrepancy(a: tf.Tensor, b: tf.Tensor, kernel: str = "imq") -> tf.Tensor:
    """The unbiased estimate of the squared maximum mean discrepancy between two samples.

        E k(a, a') + E k(b, b') - 2 E k(a, b),   over pairs of different rows

    Args:
        a, b: [B, D] each.
        kernel: "rbf", exp(-|a - b|^2 / 2 D), or "imq", the sum of C / (C + |a - b|^2) over C = 2 D
            times 0.1, 0.2, 0.5, 1, 2, 5 and 10.

    Returns:
        A scalar, near zero or below it where both are of one distribution.

    References:
        Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012.
    """
    function, num_dims = KERNELS[kernel], tf.cast(tf.shape(a)[-1], tf.float32)
    size = tf.cast(tf.shape(a)[0], tf.float32)

    def squares(x, y):
        norms = tf.reduce_sum(x**2, -1)[:, tf.newaxis] + tf.reduce_sum(y**2, -1)
        return tf.maximum(norms - 2.0 * tf.matmul(x, y, transpose_b=True), 0.0)

    def of_pairs(x):
        kernels = function(squares(x, x), num_dims)
        apart = tf.reduce_sum(kernels) - tf.reduce_sum(tf.linalg.diag_part(kernels))
        return apart / tf.maximum(size * (size - 1.0), 1.0)

    return of_pairs(a) + of_pairs(b) - 2.0 * tf.reduce_mean(function(squares(a, b), num_dims))
