"""The likelihood of a finished run, and what it is the likelihood of."""

import dataclasses
import json
import math
from typing import Any

import numpy as np

from keras_vae import _files
from keras_vae.evaluation import (
    AnnealedLogLikelihood,
    BidirectionalCheck,
    LogLikelihood,
    annealed_log_likelihood,
    bidirectional_check,
    check_annealing,
    latent_use,
    log_likelihood,
)
from keras_vae.models import num_rows
from keras_vae.training.results import examples, some
from keras_vae.training.run import Run

_ANNEALED = 50  # examples for annealed importance sampling, which takes long


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The importance-sampled likelihood of a split, and the objective's terms on it.

    Attributes:
        estimate: log p(x); None under a posterior without density.
        terms: the objective's terms over the same examples, nats per example.
        active_units: how many latent dimensions depend on them; None for a single example.
        about: what it is an evaluation of, and how: model, data, protocol, split, number of examples, seed.
        annealed: log p(x) of some of them, at random, by annealed importance sampling, if it was asked for.
        annealed_rows: which.
        check: how far below the truth that is, on as many examples that the model drew.
    """

    estimate: LogLikelihood | None
    terms: dict[str, float]
    active_units: int | None
    about: dict[str, Any]
    annealed: AnnealedLogLikelihood | None = None
    annealed_rows: np.ndarray | None = None
    check: BidirectionalCheck | None = None

    def rows(self) -> list[tuple[str, str, str]]:
        """Rows of (what, value, standard error) for a table, in nats per example."""
        estimate, annealed, check = self.estimate, self.annealed, self.check
        found: list[tuple[str, float, float | None]] = []
        if estimate is not None:
            at_most = "" if estimate.is_exact else " at most"
            sampled = f"-log p(x){at_most}, k={estimate.num_samples}"
            found.append((sampled, -estimate.mean, estimate.standard_error))
        if estimate is not None and annealed is not None and check is not None:
            number = annealed.num_examples
            of_these = float(np.mean(estimate.per_example[self.annealed_rows]))
            found += [
                (f"the same, of {number} of them", -of_these, None),
                (f"annealed, of these {number}", -annealed.mean, annealed.standard_error),
                (f"gap of {number} drawn examples", check.gap, check.gap_standard_error),
            ]
        found += [(term.replace("_", " "), value, None) for term, value in self.terms.items()]
        return [
            (what, f"{value:.2f}", "" if error is None or math.isnan(error) else f"{error:.2f}")
            for what, value, error in found
        ]

    def __str__(self):
        of = f"{self.about['data']}, {self.about['split']}, protocol {self.about['protocol']}"
        return f"{of}: {self.estimate or 'no log p(x), since the posterior is a point and has no density'}"

    def record(self) -> dict[str, Any]:
        """What evaluation.json holds; what cannot be told is null."""
        estimate, found = self.estimate, {**self.about}
        if estimate is None:
            found["log_likelihood"] = None
        else:
            found |= {
                "sha256": estimate.sha256,
                "num_samples": estimate.num_samples,
                "measure": estimate.measure,
                "is_exact": estimate.is_exact,
                "log_likelihood": estimate.mean,
                "standard_error": _or_none(estimate.standard_error),
                "monte_carlo_error": _or_none(estimate.monte_carlo_error),
                "bits_per_dim": estimate.bits_per_dim,
                "bits_per_dim_standard_error": _or_none(estimate.bits_per_dim_standard_error),
            }
        terms = {term: _or_none(value) for term, value in self.terms.items()}
        found |= {"terms": terms, "active_units": self.active_units}
        if self.annealed is not None and self.check is not None:
            found["annealed"] = {
                **self.annealed.settings,
                "num_examples": self.annealed.num_examples,
                "log_likelihood": self.annealed.mean,
                "standard_error": _or_none(self.annealed.standard_error),
                "acceptance_rate": self.annealed.acceptance_rate,
                "gap": self.check.gap,
                "gap_standard_error": _or_none(self.check.gap_standard_error),
            }
        return found

    def write(self, run: Run) -> None:
        """Writes `evaluation.json` and `log_likelihood.npy`, log p(x) of every example, into the run's folder."""
        if self.estimate is not None:
            with _files.replacing(run.path / "log_likelihood.npy") as new:
                np.save(new, self.estimate.per_example)
        _files.write(run.path / "evaluation.json", json.dumps(self.record(), indent=2) + "\n")


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None


def evaluate_run(
    run: Run,
    *,
    num_samples: int,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    num_temperatures: int | None = None,
) -> Evaluation:
    """Estimates log p(x) of a run's model on a split of its data, and the objective's terms.

    Args:
        run: the run.
        num_samples: importance samples per example, k.
        split: "train", "validation" or "test".
        limit: only the first so many examples.
        seed: of the importance samples.
        num_temperatures: of annealed importance sampling, on 50 of the examples; None: without.
    """
    model, x = run.model, examples(run.data, split, limit)
    if num_temperatures is not None:
        check_annealing(model, num_temperatures)  # before what takes long
    estimate = None
    if model.posterior.has_density:
        estimate = log_likelihood(model, x, num_samples, seed=seed)
    terms = model.evaluate(x, batch_size=500, verbose=0, return_dict=True)
    annealed = rows = check = None
    if num_temperatures is not None:
        chosen, rows = some(x, _ANNEALED, seed)
        annealed = annealed_log_likelihood(model, chosen, num_temperatures, seed=seed)
        check = bidirectional_check(
            model,
            annealed.num_examples,
            num_temperatures,
            conditions={name: chosen[name] for name in model.side_inputs},
            seed=seed,
        )
    return Evaluation(
        estimate=estimate,
        terms={term: terms[term] for term in model.objective.terms},
        active_units=latent_use(model, x).num_active if num_rows(x) > 1 else None,
        about={
            "model_sha256": run.model_sha256,
            "data": run.config["data"]["name"],
            "protocol": run.config["data"]["protocol"],
            "split": split,
            "num_examples": num_rows(x),
            "seed": seed,
        },
        annealed=annealed,
        annealed_rows=rows,
        check=check,
    )
