"""Chains that go from a start to p(z|x) through distributions between, and back."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae._parts import check_count, check_known, name_of
from keras_vae.evaluation.estimate import log_mean_variance
from keras_vae.models import VAE, need_vae, num_rows
from keras_vae.noise import threefry

tfd = tfp.distributions

_NUMBERS_PER_PASS = 2**24  # in the decoder's widest layer: what bounds the memory
_TRANSITIONS = 20  # of one call
_ACCEPTANCE = 0.65  # that step sizes are adapted to
_RATE = 0.05  # by how much a step size changes with a transition
_PILOT_CHAINS, _WARM_UP = (
    4,
    50,
)  # of the run that step sizes are adapted in; transitions at its start
_FEWEST_ADAPTED = 200  # transitions of it on the way
_PILOT, _FORWARD, _BACKWARD = range(3)  # streams of random numbers


def _from_prior(model: VAE, batch):
    return model.prior_over(batch), lambda z: model.log_likelihood(batch, z)


def _from_posterior(model: VAE, batch):
    p, q = model.prior_over(batch), model.now(model.posterior).distribution(model.encode(batch))
    return q, lambda z: model.log_likelihood(batch, z) + p.log_prob(z) - q.log_prob(z)


STARTS = {"prior": _from_prior, "posterior": _from_posterior}
"""What chains start from, by name: p_0, and log p(x, z) - log p_0(z) as a function of z."""


class Annealing:
    """Annealed chains of one model: where they start, how they move, how many there are.

    Args:
        model: a VAE whose latents are real numbers.
        num_temperatures: distributions p_b(z) = p_0(z)^(1-b) p(x, z)^b on the way, both ends included.
        num_chains: chains per example, C.
        num_leapfrog_steps: of one HMC transition.
        start: one of `STARTS`.
    """

    def __init__(
        self,
        model: VAE,
        num_temperatures: int,
        num_chains: int,
        num_leapfrog_steps: int,
        start: str,
    ):
        owner = "annealed importance sampling"
        check_count(owner, num_chains=num_chains, num_leapfrog_steps=num_leapfrog_steps)
        check_count(owner, least=2, num_temperatures=num_temperatures)
        check_known("start", start, STARTS)
        need_vae(model, "Annealed importance sampling")
        if model.prior.support != "real":
            raise ValueError(
                "Annealed importance sampling moves z along gradients, which takes real numbers. The prior "
                f"{name_of(model.prior)} has its density on {model.prior.support!r}. Use log_likelihood."
            )
        model.posterior.need_density()
        if not model.prior.is_exact:
            raise ValueError(
                f"Annealed importance sampling takes a prior's own density. {name_of(model.prior)} has a bound on it "
                "only. Use log_likelihood, which says that it is one."
            )
        if start == "posterior" and not model.posterior.invertible:
            raise ValueError(
                f'start="posterior" needs log q(z|x) at any z, and {name_of(model.posterior)} gives it at its own '
                'samples only. Use start="prior".'
            )
        self.model, self.num_chains, self.num_leapfrog_steps = model, num_chains, num_leapfrog_steps
        self.start, self.densities = start, STARTS[start]
        ends = 1.0 / (1.0 + np.exp(-np.linspace(-4.0, 4.0, num_temperatures)))
        self.betas = ((ends - ends[0]) / (ends[-1] - ends[0])).astype(np.float32)
        self._adapt = tf.function(self._adapt, reduce_retracing=True)
        self._walk = tf.function(self._walk, reduce_retracing=True)

    def rows(self, most: int) -> int:
        """Examples that are handled at once."""
        return max(1, min(most, _NUMBERS_PER_PASS // (self.num_chains * self.model.widest_layer)))

    @property
    def _pilot_transitions(self) -> int:
        """Transitions at each temperature that its step size is adapted in."""
        return math.ceil(_FEWEST_ADAPTED / len(self.betas))

    @property
    def num_calls(self) -> int:
        """How often a way there or back, with its adaptation, says that it went on."""
        adapting = _WARM_UP + self._pilot_transitions * len(self.betas)
        walking = len(self.betas) - 1
        return math.ceil(adapting / _TRANSITIONS) + math.ceil(walking / _TRANSITIONS)

    def forward(self, batch, seed: tf.Tensor, went_on: Callable[[], object]):
        """From p_0 to p(z|x): weights whose exp is unbiased for p(x).

        Returns:
            log weights float64 [C, B], and every example's mean acceptance rate [B].
        """
        stream = tf.constant(_FORWARD)
        z = self._start(batch, self.num_chains, seed, stream)
        step_sizes = self._adapted(batch, seed, went_on)
        return self._along(batch, z, self.betas, step_sizes, seed, stream, went_on)

    def backward(self, batch, z: tf.Tensor, seed: tf.Tensor, went_on: Callable[[], object]):
        """From a z [B, D] that is a draw from p(z|x) to p_0: weights whose exp is unbiased for 1 / p(x)."""
        chains = tf.repeat(z[tf.newaxis], self.num_chains, axis=0)
        step_sizes = self._adapted(batch, seed, went_on)[::-1]
        betas, stream = self.betas[::-1], tf.constant(_BACKWARD)
        return self._along(batch, chains, betas, step_sizes, seed, stream, went_on)

    def _start(self, batch, num_chains: int, seed: tf.Tensor, stream: tf.Tensor) -> tf.Tensor:
        p, _ = self.densities(self.model, batch)
        shape = [num_chains] if p.batch_shape.rank else [num_chains, num_rows(batch)]
        return p.sample(shape, seed=_derived(seed, stream, tf.constant(-1)))

    def _along(
        self, batch, z, betas, step_sizes, seed, stream, went_on
    ) -> tuple[np.ndarray, np.ndarray]:
        num_transitions = len(betas) - 1
        log_weights, acceptance = np.zeros(z.shape[:-1]), np.zeros(z.shape[1:2])
        for first in range(0, num_transitions, _TRANSITIONS):
            z, log_w, accepted = self._walk(
                batch, z, betas, step_sizes, seed, stream, tf.constant(first)
            )
            log_weights += log_w.numpy()
            acceptance += accepted.numpy()
            went_on()
        return log_weights, acceptance / num_transitions

    def _adapted(self, batch, seed, went_on) -> np.ndarray:
        """Step sizes [num_temperatures, B, 1], of chains that are not used for anything else."""
        stream = tf.constant(_PILOT)
        z = self._start(batch, _PILOT_CHAINS, seed, stream)
        betas = np.repeat(self.betas, self._pilot_transitions)
        betas = np.concatenate([np.zeros(_WARM_UP, np.float32), betas])
        step_size, found = tf.fill([z.shape[1], 1], 0.1), []
        for first in range(0, len(betas), _TRANSITIONS):
            z, step_size, sizes = self._adapt(
                batch, z, betas, step_size, seed, stream, tf.constant(first)
            )
            found.append(sizes.numpy())
            went_on()
        return np.concatenate(found)[
            _WARM_UP + self._pilot_transitions - 1 :: self._pilot_transitions
        ]

    def _kernel(self, base, difference, beta, step_size):
        return tfp.mcmc.HamiltonianMonteCarlo(
            lambda z: base.log_prob(z) + beta * difference(z),
            step_size=step_size,
            num_leapfrog_steps=self.num_leapfrog_steps,
        )

    def _walk(self, batch, z, betas, step_sizes, seed, stream, first):
        """A transition at every beta but the last, and what the weights gain to the next."""
        base, difference = self.densities(self.model, batch)
        log_w, accepted = tf.zeros(tf.shape(z)[:-1]), tf.zeros(tf.shape(z)[1:2])
        for i in tf.range(first, tf.minimum(first + _TRANSITIONS, tf.shape(betas)[0] - 1)):
            kernel = self._kernel(base, difference, betas[i], step_sizes[i])
            z, results = kernel.one_step(
                z, kernel.bootstrap_results(z), seed=_derived(seed, stream, i)
            )
            accepted += tf.reduce_mean(tf.exp(tf.minimum(results.log_accept_ratio, 0.0)), axis=0)
            log_w += (betas[i + 1] - betas[i]) * difference(z)
        return z, log_w, accepted

    def _adapt(self, batch, z, betas, step_size, seed, stream, first):
        """A transition at every beta, and the step sizes that they leave."""
        base, difference = self.densities(self.model, batch)
        last = tf.minimum(first + _TRANSITIONS, tf.shape(betas)[0])
        sizes = tf.TensorArray(tf.float32, last - first, element_shape=step_size.shape)
        for i in tf.range(first, last):
            kernel = tfp.mcmc.SimpleStepSizeAdaptation(
                self._kernel(base, difference, betas[i], step_size),
                num_adaptation_steps=1,
                target_accept_prob=_ACCEPTANCE,
                adaptation_rate=_RATE,
            )
            z, results = kernel.one_step(
                z, kernel.bootstrap_results(z), seed=_derived(seed, stream, i)
            )
            step_size = results.new_step_size
            sizes = sizes.write(i - first, step_size)
        return z, step_size, sizes.stack()


def _derived(seed: tf.Tensor, stream: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    return tf.stack(threefry(seed, stream, number))


def log_mean_exp(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log mean exp over the first axis, and its variance by the delta method, as in `log_likelihood`."""
    log_sum = np.logaddexp.reduce(log_weights, axis=0)
    log_sum_squares = np.logaddexp.reduce(2.0 * log_weights, axis=0)
    variance = log_mean_variance(log_sum, log_sum_squares, len(log_weights))
    return log_sum - math.log(len(log_weights)), variance
