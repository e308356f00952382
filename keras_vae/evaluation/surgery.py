import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae._parts import name_of
from keras_vae.evaluation.estimate import standard_error_of
from keras_vae.models import VAE, as_arrays, need_vae, num_rows
from keras_vae.noise import as_seed, threefry

_ROWS = 500  # z at once
_NUMBERS_PER_PASS = 2**23  # z times examples times dimensions: what bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surgery:
    """The rate of a model, taken apart; nats per example, means over N examples.

        rate        = mutual_information + marginal_kl
        marginal_kl = total_correlation + sum(dimension_kl)
        rate of z_d = dimension_information[d] + dimension_kl[d]

    All are exact, not up to Monte Carlo error: the terms are of the same draws.

    Attributes:
        rate: E log q(z|x) - log p(z), a one-sample estimate of KL(q(z|x) || p(z)).
        mutual_information: of z and the number of the example, E log q(z|x) - log q(z). It cannot be
            above log N: near that, it says that examples can be told apart, and not by how much.
        marginal_kl: KL(q(z) || p(z)) of the aggregate posterior q(z) = mean_n q(z|x_n): what samples
            from the prior suffer from.
        total_correlation: KL(q(z) || prod_d q(z_d)); None where q(z|x) is no product over dimensions.
        dimension_kl: KL(q(z_d) || p(z_d)), float64 [D]; None where q(z|x) or the prior is no product.
        dimension_information: of z_d alone and the number of the example, float64 [D]; None where q(z|x)
            is no product.
        standard_errors: of rate, mutual information, marginal KL and total correlation over examples,
            by name.
        num_examples: N.
    """

    rate: float
    mutual_information: float
    marginal_kl: float
    standard_errors: dict[str, float]
    num_examples: int
    total_correlation: float | None = None
    dimension_kl: np.ndarray | None = None
    dimension_information: np.ndarray | None = None

    @property
    def most_information(self) -> float:
        """Log N, above which the estimate of the mutual information cannot be."""
        return math.log(self.num_examples)

    def rows(self) -> list[tuple[str, str, str]]:
        """Rows of (what, value, standard error) for a table, in nats per example."""
        names = {
            "rate": "rate",
            "mutual_information": f"information about x (at most {self.most_information:.2f})",
            "marginal_kl": "KL of the aggregate posterior to the prior",
            "total_correlation": "total correlation of the aggregate",
        }
        rows = [
            (what, f"{getattr(self, name):.2f}", f"{self.standard_errors[name]:.2f}")
            for name, what in names.items()
            if name in self.standard_errors
        ]
        if self.dimension_kl is not None:
            rows.append(
                ("KL of its dimensions to the prior's", f"{self.dimension_kl.sum():.2f}", "")
            )
        return rows


def surgery(vae: VAE, x, *, seed=0) -> Surgery:
    """Takes the rate apart: what is information about x, and what is a misfit of prior and aggregate.

        q(z) = 1/N sum_n q(z|x_n),   log q(z) = logsumexp_n log q(z|x_n) - log N,   over all N examples

    A prior fitted to the aggregate (`priors.VampPrior`, a mixture) can take away the marginal KL, and
    nothing but it. The total correlation is what `objectives.BetaTC` presses on; there it is estimated
    from a batch, here from the whole set.

    Args:
        vae: a VAE whose posterior has a density at any z.
        x: examples [N, *event], or a dict of arrays; 1,000 to 10,000: time and the largest mutual
            information grow with N, time with its square.
        seed: integer or pair of 32-bit integers.

    Returns:
        A `Surgery`.

    Raises:
        ValueError: for a posterior whose density is known at its own samples only, for a prior p(z|c), which
            the aggregate over all c has no divergence from, and for fewer than 2 examples.

    Example:
        >>> from keras_vae import likelihoods, networks
        >>> vae = VAE(*networks.mlp(3, latent_dim=2), likelihood=likelihoods.Normal(scale=1.0))
        >>> parts = surgery(vae, np.zeros([8, 3], np.float32))  # all examples are the same
        >>> print(f"{abs(parts.mutual_information):.3f}")
        0.000

    References:
        Hoffman and Johnson, ELBO surgery, NIPS workshop on approximate inference, 2016.
        Chen et al., Isolating Sources of Disentanglement in VAEs, 2018, arXiv:1802.04942, equation 2.
    """
    need_vae(vae, "surgery")
    posterior = vae.now(vae.posterior)
    if not posterior.invertible:
        raise ValueError(
            f"The aggregate posterior needs log q(z|x) at the z of other examples, and {name_of(posterior)} gives it "
            "at its own samples only. Expected an invertible posterior, such as Normal."
        )
    if vae.prior.conditions:
        raise ValueError(
            f"ELBO surgery compares the aggregate posterior of all examples with one prior, and {name_of(vae.prior)} "
            f"is another for every {', '.join(vae.prior.conditions)}. Expected a prior without conditions."
        )
    arrays = as_arrays(x)
    vae.posterior.need_density()
    vae.check_batch(arrays)
    num_examples = num_rows(arrays)
    if num_examples < 2:
        raise ValueError("An aggregate posterior needs at least 2 examples. Received: 1")
    params = np.concatenate(
        [vae.encode(_rows(arrays, start, _ROWS)).numpy() for start in range(0, num_examples, _ROWS)]
    )
    by_dimension = posterior.factorized
    block = max(1, _NUMBERS_PER_PASS // (_ROWS * vae.latent_dim))

    @tf.function(reduce_retracing=True)
    def log_sums(z, params):
        """Logsumexp over a block of examples of log q(z|x_n), [B], and of log q(z_d|x_n), [B, D]."""
        q = posterior.distribution(params)
        if not by_dimension:
            joint = q.log_prob(z[:, tf.newaxis])
            return tf.reduce_logsumexp(joint, axis=1), tf.zeros_like(z)
        each = q.distribution.log_prob(z[:, tf.newaxis])
        joint = tf.reduce_sum(each, axis=-1)
        return tf.reduce_logsumexp(joint, axis=1), tf.reduce_logsumexp(each, axis=1)

    own, own_each, prior, prior_each, joint, each = [], [], [], [], [], []
    for start in range(0, num_examples, _ROWS):
        key = tf.stack(threefry(as_seed(seed), tf.constant(start), tf.constant(0)))
        q, z = vae.sampling.draw(posterior, tf.constant(params[start : start + _ROWS]), None, key)
        p = vae.prior_over(_rows(arrays, start, _ROWS))
        own.append(q.log_prob(z).numpy())
        prior.append(p.log_prob(z).numpy())
        if by_dimension:
            own_each.append(q.distribution.log_prob(z).numpy())
        if vae.prior.factorized:
            prior_each.append(p.distribution.log_prob(z).numpy())
        sums = [
            log_sums(z, tf.constant(params[first : first + block]))
            for first in range(0, num_examples, block)
        ]
        for found, parts in zip((joint, each), zip(*sums, strict=True), strict=True):
            whole = np.logaddexp.reduce(np.asarray(parts, np.float64), axis=0)
            found.append(whole - math.log(num_examples))

    def over_examples(parts):
        return np.concatenate(parts).astype(np.float64)

    log_q, log_p, log_joint, log_each = map(over_examples, (own, prior, joint, each))
    terms = {
        "rate": log_q - log_p,
        "mutual_information": log_q - log_joint,
        "marginal_kl": log_joint - log_p,
    }
    if by_dimension:
        terms["total_correlation"] = log_joint - log_each.sum(axis=1)
    means: dict[str, Any] = {name: float(np.mean(term)) for name, term in terms.items()}
    dimension_information = dimension_kl = None
    if by_dimension:
        dimension_information = np.mean(over_examples(own_each) - log_each, axis=0)
    if by_dimension and vae.prior.factorized:
        dimension_kl = np.mean(log_each - over_examples(prior_each), axis=0)
    return Surgery(
        **means,
        dimension_kl=dimension_kl,
        dimension_information=dimension_information,
        standard_errors={name: standard_error_of(term) for name, term in terms.items()},
        num_examples=num_examples,
    )


def _rows(arrays, start: int, number: int):
    return tf.nest.map_structure(lambda array: tf.constant(array[start : start + number]), arrays)
