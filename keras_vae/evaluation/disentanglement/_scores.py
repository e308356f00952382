import dataclasses

import numpy as np
from rich.progress import track

from keras_vae.evaluation.disentanglement import _information, _pairs, _prediction, _robustness
from keras_vae.evaluation.disentanglement._arrays import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Every score of one representation; higher is better.

    Attributes:
        mig: `mutual_information_gap`, from 0 to 1.
        sap: `sap`, from 0.
        disentanglement, completeness, informativeness: of `dci`, from 0 (an accuracy, the last) to 1.
        modularity: `modularity`, from 0 to 1.
        explicitness: `explicitness`, an area: 1/2 is chance.
        beta_vae: `beta_vae_score`, an accuracy: 1 / num_factors is chance.
        factor_vae: `factor_vae_score`, likewise.
        irs: `interventional_robustness`, from 0 to 1.
        mutual_information: `mutual_information`, nats, float64 [D, F]: which dimension knows of which factor.
        num_rows: rows that all this comes from.
        seed: of what was drawn.
    """

    mig: float
    sap: float
    disentanglement: float
    completeness: float
    informativeness: float
    modularity: float
    explicitness: float
    beta_vae: float
    factor_vae: float
    irs: float
    mutual_information: np.ndarray
    num_rows: int
    seed: int

    @property
    def table(self) -> list[tuple[str, float]]:
        """(name, value) of every score, for printing."""
        return [(name, getattr(self, field)) for field, name in _NAMES.items()]

    def __str__(self):
        head = f"disentanglement, {self.num_rows:,} rows, seed {self.seed}"
        return "\n".join([head, *(f"  {name:<22}{value:.3f}" for name, value in self.table)])


_NAMES = {
    "mig": "MIG",
    "sap": "SAP",
    "disentanglement": "DCI disentanglement",
    "completeness": "DCI completeness",
    "informativeness": "DCI informativeness",
    "modularity": "modularity",
    "explicitness": "explicitness",
    "beta_vae": "beta-VAE score",
    "factor_vae": "FactorVAE score",
    "irs": "IRS",
}


def scores(
    z,
    factors,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    seed: int = 0,
    progress: bool = True,
) -> Scores:
    """All scores of disentanglement of a representation.

    They disagree: each fails on representations that another likes. No training without labels is
    guaranteed to disentangle, and to choose a model by these scores takes the factors.

    Args:
        z: representation [N, D], such as `vae.embed(x)`; 10,000 rows are usual.
        factors: whole numbers [N, F], such as `splits.factors("test")`.
        num_train, num_test: of `beta_vae_score` and `factor_vae_score`.
        seed: of all that is drawn. The same arrays and seed give the same scores.
        progress: whether to show a progress bar.

    Raises:
        ValueError: without factors; for arrays that do not fit each other, a factor of one value, or
            too few rows.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50)
        >>> print(scores(factors, factors, num_train=100, num_test=100, progress=False))
        disentanglement, 200 rows, seed 0
          MIG                   1.000
          SAP                   0.5...
          DCI disentanglement   1.000
          DCI completeness      1.000
          DCI informativeness   1.000
          modularity            1.000
          explicitness          1.000
          beta-VAE score        1.000
          FactorVAE score       1.000
          IRS                   1.000

    References:
        Locatello, Bauer, Lucic, Raetsch, Gelly, Schoelkopf and Bachem, Challenging Common Assumptions
        in the Unsupervised Learning of Disentangled Representations, 2018, arXiv:1811.12359.
    """
    z, factors = checked(z, factors)
    drawn = {"num_train": num_train, "num_test": num_test, "seed": seed}
    steps = {
        "mutual_information": lambda: _information.mutual_information(z, factors),
        "mig": lambda: _information.mutual_information_gap(z, factors),
        "modularity": lambda: _information.modularity(z, factors),
        "irs": lambda: _robustness.interventional_robustness(z, factors),
        "beta_vae": lambda: _pairs.beta_vae_score(z, factors, **drawn),
        "factor_vae": lambda: _pairs.factor_vae_score(z, factors, **drawn),
        "sap": lambda: _prediction.sap(z, factors, seed=seed),
        "explicitness": lambda: _prediction.explicitness(z, factors, seed=seed),
        "dci": lambda: _prediction.dci(z, factors, seed=seed),
    }
    bar = track(steps, description="disentanglement", disable=not progress)
    found = {name: steps[name]() for name in bar}
    parts = found.pop("dci")
    return Scores(
        disentanglement=parts.disentanglement,
        completeness=parts.completeness,
        informativeness=parts.informativeness,
        num_rows=len(z),
        seed=seed,
        **found,
    )
