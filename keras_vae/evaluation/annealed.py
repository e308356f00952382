import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf
from rich.progress import Progress

from keras_vae._parts import check_count
from keras_vae.evaluation._annealing import Annealing, log_mean_exp
from keras_vae.evaluation._batches import Digest, batches_of, padded
from keras_vae.evaluation.estimate import Estimate, standard_error_of
from keras_vae.models import VAE, x_of
from keras_vae.noise import as_seed, normals, threefry


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnealedLogLikelihood(Estimate):
    """An estimate of log p(x) over a data set by annealed importance sampling.

    Attributes:
        num_temperatures: distributions on the way from the start to the posterior, both ends included.
        num_chains: chains per example, whose mean weight is the estimate.
        num_leapfrog_steps: of one HMC transition.
        start: what the chains start from, "prior" or "posterior" (the model's q(z|x)).
        acceptance_rate: share of HMC proposals that were accepted. Far from 0.65, the chains did not
            move as they should.
    """

    num_temperatures: int
    num_chains: int
    num_leapfrog_steps: int
    start: str
    acceptance_rate: float

    @property
    def settings(self):
        return {
            "temperatures": self.num_temperatures,
            "chains": self.num_chains,
            "leapfrog steps": self.num_leapfrog_steps,
            "start": self.start,
        }

    def __str__(self):
        return f"{super().__str__()[:-1]}, acceptance rate {self.acceptance_rate:.2f})"


def annealed_log_likelihood(
    model: VAE,
    data,
    num_temperatures: int = 500,
    num_chains: int = 16,
    *,
    num_leapfrog_steps: int = 10,
    start: str = "prior",
    seed=0,
    batch_size: int = 50,
    progress: bool = True,
) -> AnnealedLogLikelihood:
    """Estimates log p(x) by annealed importance sampling, which does not need a good posterior.

        p_b(z) = p_0(z)^(1-b) p(x, z)^b,   0 = b_0 < ... < b_T = 1
        log p(x) ~ log (1/C) sum_c exp sum_t (b_t - b_t-1) (log p(x, z_ct) - log p_0(z_ct)),
        z_ct ~ a transition from z_c,t-1 that leaves p_b of b_t-1 invariant, by Hamiltonian Monte Carlo

    Where q(z|x) misses a part of p(z|x), `log_likelihood` is too low and no affordable number of
    samples mends it; chains still find that part, for hundreds of times the work. This too is a lower
    bound in expectation, which rises with temperatures and chains: `bidirectional_check` tells how far
    below the truth it is.

    Step sizes, one for every example and temperature, are adapted to an acceptance rate of 0.65 by
    chains that are not used for anything else, so that the mean weight stays unbiased for p(x).

    Args:
        model: a VAE whose latents are real numbers.
        data: a finite `tf.data.Dataset` of batches, an array [N, *event], or a dict of arrays.
        num_temperatures: distributions on the way, T + 1; b_t is a sigmoid of t.
        num_chains: chains per example, C.
        num_leapfrog_steps: of one HMC transition.
        start: what p_0 is: "prior", or "posterior" for the model's q(z|x), which is nearer.
        seed: integer or pair of 32-bit integers.
        batch_size: examples per pass, or fewer where there are many chains or the decoder is wide.
        progress: whether to show a progress bar.

    Raises:
        TypeError: for another model than a `VAE`.
        ValueError: for latents that are not real, for start="posterior" where log q(z|x) cannot be
            evaluated at any z, and for data that do not fit the model.

    References:
        Neal, Annealed Importance Sampling, 1998, arXiv:physics/9803008.
        Wu, Burda, Salakhutdinov and Grosse, On the Quantitative Analysis of Decoder-Based Generative
        Models, 2016, arXiv:1611.04273.
    """
    annealing = Annealing(model, num_temperatures, num_chains, num_leapfrog_steps, start)
    return _estimated(annealing, data, seed, batch_size, progress)


def check_annealing(model: VAE, num_temperatures: int) -> None:
    """Raises as `annealed_log_likelihood` does for a model, with its defaults, before any work."""
    Annealing(model, num_temperatures, 1, 1, "prior")


def _estimated(
    annealing: Annealing, data, seed, batch_size: int, progress: bool
) -> AnnealedLogLikelihood:
    check_count("annealed_log_likelihood", batch_size=batch_size)
    batch_size = annealing.rows(batch_size)
    batches, num_batches = batches_of(data, batch_size)
    weights, rates, num_dimensions, most_rows, digest = [], [], 1, 0, Digest()
    with Progress(disable=not progress) as bar:
        total = None if num_batches is None else num_batches * annealing.num_calls
        task = bar.add_task("log p(x), annealed", total=total)
        for number, batch in enumerate(batches):
            annealing.model.check_batch(batch)
            digest.update(batch)
            num_rows, num_dimensions = len(x_of(batch)), math.prod(x_of(batch).shape[1:])
            most_rows = max(most_rows, num_rows)
            full, key = padded(batch, most_rows), _key(seed, number)
            log_weights, rate = annealing.forward(full, key, lambda: bar.advance(task))
            weights.append(log_weights[:, :num_rows])
            rates.append(rate[:num_rows])
    if not weights:
        raise ValueError("The data set is empty: there is nothing to estimate a likelihood of.")
    per_example, variance = log_mean_exp(np.concatenate(weights, axis=1))
    return AnnealedLogLikelihood(
        per_example=per_example,
        num_dimensions=num_dimensions,
        monte_carlo_error=float(np.sqrt(np.sum(variance)) / len(per_example)),
        sha256=digest.hexdigest(),
        measure=annealing.model.measure,
        num_temperatures=len(annealing.betas),
        num_chains=annealing.num_chains,
        num_leapfrog_steps=annealing.num_leapfrog_steps,
        start=annealing.start,
        acceptance_rate=float(np.mean(np.concatenate(rates))),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BidirectionalCheck:
    """How far apart a lower and an upper bound on log p(x) are, over examples that the model drew.

    Attributes:
        examples: what the model drew: x, or a dict of arrays with its conditions.
        lower: `annealed_log_likelihood` of them, a lower bound in expectation.
        upper: an upper bound in expectation, nats, float64 [N].
    """

    examples: Any
    lower: AnnealedLogLikelihood
    upper: np.ndarray

    @property
    def gap(self) -> float:
        """Mean of upper - lower, nats: the estimate is at most so far below log p(x), on such examples."""
        return float(np.mean(self.upper - self.lower.per_example))

    @property
    def gap_standard_error(self) -> float:
        return standard_error_of(self.upper - self.lower.per_example)

    def __str__(self):
        return (
            f"log p(x) of {len(self.upper):,} examples drawn from the model is between {self.lower.mean:.2f} and "
            f"{np.mean(self.upper):.2f} nats: a gap of {self.gap:.3f} +- {self.gap_standard_error:.3f}"
        )


def bidirectional_check(
    model: VAE,
    num_examples: int = 50,
    num_temperatures: int = 500,
    num_chains: int = 16,
    *,
    conditions: dict | None = None,
    num_leapfrog_steps: int = 10,
    start: str = "prior",
    seed=0,
    batch_size: int = 50,
    progress: bool = True,
) -> BidirectionalCheck:
    """Bounds the error of `annealed_log_likelihood` with the same settings: bidirectional Monte Carlo.

        z, x ~ p(z) p(x|z):   chains from p_0 to p(z|x) give E[log w] <= log p(x),
                              chains from z, which is a draw from p(z|x), to p_0: -E[log w] >= log p(x)

    It holds for examples that the model draws. How far real ones are like them is not known: the check
    tells whether there are enough temperatures for this model, and bounds nothing on a test set.

    Args:
        model: as of `annealed_log_likelihood`, and so are the other arguments.
        num_examples: how many examples to draw.
        conditions: of a conditional model, what stands beside x in a batch, [num_examples, ...] each.

    References:
        Grosse, Ghahramani and Adams, Sandwiching the Marginal Likelihood Using Bidirectional Monte
        Carlo, 2015, arXiv:1511.02543.
    """
    annealing = Annealing(model, num_temperatures, num_chains, num_leapfrog_steps, start)
    check_count("bidirectional_check", num_examples=num_examples, batch_size=batch_size)
    beside = {name: np.asarray(values) for name, values in (conditions or {}).items()}
    for name, values in beside.items():
        if len(values) != num_examples:
            raise ValueError(
                f"The condition {name!r} has to have a row for each of the {num_examples} examples. Received: "
                f"{len(values)} rows."
            )
    noise = normals(_key(seed, -1), num_examples, model.prior.noise_size)
    z = model.prior.transform(noise, beside)
    x = model.draw(beside, z, _key(seed, -2)).numpy()
    simulated = {"x": x, **beside} if beside else x
    lower = _estimated(annealing, simulated, seed, batch_size, progress)
    batch_size, weights = min(annealing.rows(batch_size), num_examples), []
    batches, num_batches = batches_of(simulated, batch_size)
    with Progress(disable=not progress) as bar:
        task = bar.add_task("the way back", total=(num_batches or 0) * annealing.num_calls)
        for number, batch in enumerate(batches):
            ends = z.numpy()[number * batch_size :][: len(x_of(batch))]
            full, ends = padded((batch, ends), batch_size)
            log_weights, _ = annealing.backward(
                full, tf.constant(ends), _key(seed, number), lambda: bar.advance(task)
            )
            weights.append(log_weights[:, : len(x_of(batch))])
    upper, _ = log_mean_exp(np.concatenate(weights, axis=1))
    return BidirectionalCheck(examples=simulated, lower=lower, upper=-upper)


def _key(seed, number: int) -> tf.Tensor:
    return tf.stack(threefry(as_seed(seed), tf.constant(number), tf.constant(0)))
