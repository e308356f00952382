"""Pure maths between distributions: tensors in, tensors out."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

__all__ = [
    "KERNELS",
    "MOST_LEVELS",
    "aggregate_log_probs",
    "covariance",
    "importance_weighted_bound",
    "kl_by_dimension",
    "kl_divergence",
    "maximum_mean_discrepancy",
    "structural_similarity",
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
        a, b: [N, D] and [M, D].
        kernel: "rbf", exp(-|a - b|^2 / 2 D), or "imq", the sum of C / (C + |a - b|^2) over C = 2 D
            times 0.1, 0.2, 0.5, 1, 2, 5 and 10.

    Returns:
        A scalar, near zero or below it where both are of one distribution; 0 for a single row, which
        has no pairs to estimate it from.

    References:
        Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012.
    """
    function, num_dims = KERNELS[kernel], tf.cast(tf.shape(a)[-1], tf.float32)

    def squares(x, y):
        norms = tf.reduce_sum(x**2, -1)[:, tf.newaxis] + tf.reduce_sum(y**2, -1)
        return tf.maximum(norms - 2.0 * tf.matmul(x, y, transpose_b=True), 0.0)

    def of_pairs(x):
        kernels, size = function(squares(x, x), num_dims), tf.cast(tf.shape(x)[0], tf.float32)
        apart = tf.reduce_sum(kernels) - tf.reduce_sum(tf.linalg.diag_part(kernels))
        return apart / tf.maximum(size * (size - 1.0), 1.0)

    between = tf.reduce_mean(function(squares(a, b), num_dims))
    has_pairs = tf.minimum(tf.shape(a)[0], tf.shape(b)[0]) > 1
    return tf.where(has_pairs, of_pairs(a) + of_pairs(b) - 2.0 * between, 0.0)


_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the levels, from fine to coarse, as Wang et al. measured them."""
MOST_LEVELS = len(_POWERS)


def structural_similarity(
    a: tf.Tensor,
    b: tf.Tensor,
    *,
    levels: int | None = None,
    filter_size: int = 11,
    value_range: float = 1.0,
) -> tf.Tensor:
    """Multi-scale structural similarity of two images: 1 where they are equal, near 0 where nothing is alike.

        prod_l contrast_structure_l^p_l, times luminance^p at the coarsest level

    Each level halves the one before, and the powers of those taken add up to 1. Unlike
    `tf.image.ssim_multiscale`, its gradient is finite where a level has no likeness at all: a factor
    below 1e-4 counts as 1e-4.

    Args:
        a, b: [B, H, W, C] each, H and W known and at least filter_size 2^(levels - 1).
        levels: number of scales, at most `MOST_LEVELS`; None: as many as there is room for.
        filter_size: width of the Gaussian window, whose standard deviation is 1.5 pixels.
        value_range: the largest possible value minus the smallest.

    Returns:
        [B], mean over channels.

    References:
        Wang, Simoncelli and Bovik, Multi-scale Structural Similarity for Image Quality Assessment, 2003,
        doi:10.1109/ACSSC.2003.1292216.
    """
    height, width, channels = (int(size or 0) for size in a.shape[1:])
    room = (min(height, width) // filter_size).bit_length()
    levels = min(MOST_LEVELS, room) if levels is None else levels
    powers = [power / sum(_POWERS[:levels]) for power in _POWERS[:levels]]
    offsets = tf.range(filter_size, dtype=tf.float32) - (filter_size - 1) / 2.0
    window = tf.nn.softmax(-(offsets**2) / (2.0 * 1.5**2))
    kernel = tf.einsum("h,w,c->hwc", window, window, tf.ones([channels]))[..., tf.newaxis]

    def blurred(x):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")

    similarity = tf.ones([tf.shape(a)[0], channels])
    for level, power in enumerate(powers):
        if level:
            a, b = (tf.nn.avg_pool2d(x, 2, 2, "VALID") for x in (a, b))
        mean_a, mean_b = blurred(a), blurred(b)
        products = mean_a * mean_b
        squares = mean_a**2 + mean_b**2
        small = (0.03 * value_range) ** 2
        factor = (2.0 * (blurred(a * b) - products) + small) / (
            blurred(a**2 + b**2) - squares + small
        )
        if level == levels - 1:
            small = (0.01 * value_range) ** 2
            factor *= (2.0 * products + small) / (squares + small)
        similarity *= tf.maximum(tf.reduce_mean(factor, axis=[1, 2]), 1e-4) ** power
    return tf.reduce_mean(similarity, axis=-1)
