"""Scores of disentanglement of representations whose scores are known."""

import dataclasses
import itertools

import numpy as np
import pytest

from keras_vae.evaluation import disentanglement
from keras_vae.evaluation.disentanglement import (
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information,
    mutual_information_gap,
    sap,
)

# Every combination of factors of 2, 3 and 4 values, twenty times: rows are exactly balanced.
FACTORS = np.array(list(itertools.product(range(2), range(3), range(4))) * 20)
SQUARE = np.array(list(itertools.product(range(4), range(4))) * 30)
SIZES = np.array([2, 3, 4])
FEW = {"num_train": 600, "num_test": 300}
ROTATION = np.array([[1, -1], [1, 1]]) / np.sqrt(2)


def all_scores(z, factors=FACTORS):
    found = disentanglement.scores(z, factors, **FEW, progress=False)
    return {name: value for name, value in vars(found).items() if isinstance(value, float)}


PERFECT = {
    "mig": 1.0,
    "disentanglement": 1.0,
    "completeness": 1.0,
    "informativeness": 1.0,
    "modularity": 1.0,
    "beta_vae": 1.0,
    "factor_vae": 1.0,
    "irs": 1.0,
}


@pytest.mark.parametrize(
    "z",
    [
        pytest.param(FACTORS, id="factors"),
        pytest.param(FACTORS[:, [2, 0, 1]] * [1.0, -3.0, 0.5] + [7.0, 0.0, -1.0], id="permuted"),
        pytest.param(np.insert(FACTORS.astype(float), 1, 0.25, axis=1), id="dead dimension"),
    ],
)
def test_a_perfect_representation(z):
    found = all_scores(z)
    assert {name: found[name] for name in PERFECT} == pytest.approx(PERFECT, abs=1e-6)
    # The second dimension knows nothing of a factor of K values: its balanced accuracy is about 1 / K.
    assert found["sap"] == pytest.approx(1 - np.mean(1 / SIZES), abs=0.06)
    assert 0.8 < found["explicitness"] < 0.9  # the values in the middle are not linear in z


def test_values_of_factors_are_names_only():
    renamed = np.stack([FACTORS[:, 0] * 7 - 3, (FACTORS[:, 1] + 2) % 3, FACTORS[:, 2]], axis=1)
    found, again = (all_scores(FACTORS + 0.1, factors) for factors in (FACTORS, renamed))
    for name in ("mig", "modularity", "irs", "factor_vae"):
        assert again[name] == pytest.approx(found[name], abs=1e-6), name
    assert again["explicitness"] == pytest.approx(found["explicitness"], abs=0.01)  # other halves


def test_noise_is_at_chance():
    z = np.random.default_rng(0).normal(size=[len(FACTORS) * 4, 5])
    factors = np.tile(FACTORS, (4, 1))
    found = all_scores(z, factors)
    chance = {"beta_vae": 1 / 3, "factor_vae": 1 / 3, "informativeness": np.mean(1 / SIZES)}
    assert {name: found[name] for name in chance} == pytest.approx(chance, abs=0.1)
    assert found["explicitness"] == pytest.approx(0.5, abs=0.03)
    for name in ("mig", "sap", "disentanglement", "completeness"):
        assert 0 <= found[name] < 0.05, name


def test_a_rotation_by_45_degrees_hides_which_factor_is_which():
    z = SQUARE @ ROTATION
    found = all_scores(z, SQUARE)
    assert found["mig"] == pytest.approx(0, abs=1e-6)
    assert found["modularity"] == pytest.approx(0, abs=1e-6)
    # One factor held, a dimension still moves by half of what it moves by in all.
    assert interventional_robustness(z, SQUARE, quantile=1.0) == pytest.approx(0.5)
    # Both dimensions move alike whichever factor is held.
    assert found["beta_vae"] == pytest.approx(0.5, abs=0.1)
    assert found["factor_vae"] == pytest.approx(0.5, abs=0.1)
    assert found["disentanglement"] < 0.05
    assert found["completeness"] < 0.05
    assert found["informativeness"] == 1.0  # nothing is lost
    assert found["explicitness"] == pytest.approx(explicitness(SQUARE, SQUARE), abs=1e-3)


def test_a_duplicated_dimension_costs_the_scores_of_compactness_only():
    z = FACTORS[:, [0, 0, 1, 2]] * [1, 2, 1, 1]
    found = all_scores(z)
    assert found["mig"] == pytest.approx(2 / 3)
    assert sap(z, FACTORS) == pytest.approx((0 + 1 - 1 / 3 + 1 - 1 / 4) / 3, abs=0.06)
    # The trees take either copy: 1 - log 2 / log 4 for the first factor, if half of them each.
    assert found["completeness"] == pytest.approx((0.5 + 1 + 1) / 3, abs=0.03)
    for name in ("disentanglement", "modularity", "factor_vae", "irs", "beta_vae"):
        assert found[name] == pytest.approx(1.0), name


def test_two_factors_in_one_dimension_cost_the_scores_of_modularity_only():
    z = np.stack([FACTORS[:, 0] * 3 + FACTORS[:, 1], FACTORS[:, 2]], axis=1)
    assert mutual_information_gap(z, FACTORS) == pytest.approx(1.0)
    squares = np.log(2) ** 2, np.log(3) ** 2  # of the information on the first two factors
    assert modularity(z, FACTORS) == pytest.approx((1 - squares[0] / squares[1] / 2 + 1) / 2)
    found = dci(z, FACTORS)
    assert found.completeness == pytest.approx(1.0)
    spread = 1 - np.log(2) / np.log(
        3
    )  # two of three factors, evenly; twice the weight of the other
    assert found.disentanglement == pytest.approx((2 * spread + 1) / 3)


def test_information_of_a_table_of_two_by_two():
    counts = np.array([[30, 10], [20, 40]])
    rows = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], counts.ravel(), axis=0)
    joint = counts / 100
    expected = sum(
        p * np.log(p / (joint[i].sum() * joint[:, j].sum())) for (i, j), p in np.ndenumerate(joint)
    )
    z, factor = rows.T
    own = {0: np.array([0.4, 0.6]), 1: np.array([0.5, 0.5])}
    entropies = [-(p * np.log(p)).sum() for p in own.values()]
    both = np.stack([z, factor], axis=1)
    known = [[entropies[0], expected], [expected, entropies[1]]]
    np.testing.assert_allclose(mutual_information(both * 3.5, both), known)
    gaps = (np.array(entropies) - expected) / entropies
    assert mutual_information_gap(both, both) == pytest.approx(gaps.mean())


def test_bins_are_of_equal_width():
    z = np.array([[0.0, 0.4, 0.6, 1.0, 4.9, 5.1, 9.0, 10.0] * 4] * 2).T
    factors = np.array([[0, 0, 0, 0, 0, 1, 1, 1] * 4, [0, 1] * 16]).T
    halves = np.log(8) - (5 * np.log(5) + 3 * np.log(3)) / 8
    np.testing.assert_allclose(mutual_information(z, factors, num_bins=2)[:, 0], halves)
    with pytest.raises(ValueError, match=r"num_bins.*at least 2"):
        mutual_information(z, factors, num_bins=1)


def test_robustness_of_a_dimension_with_noise():
    # z_0 is the first factor, 0 or 1, and +-1/4 that the second decides; z_1 is the second, 0 or 1.
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    z = np.stack([factors[:, 0] + 0.5 * factors[:, 1] - 0.25, factors[:, 1]], axis=1)
    reach, moved = np.array([0.75, 0.5]), np.array([0.25, 0.0])
    expected = np.average(1 - moved / reach, weights=reach)
    assert interventional_robustness(z, factors, quantile=1.0) == pytest.approx(expected)


def test_dead_dimensions_do_not_vote():
    noise = np.random.default_rng(1).normal(size=[len(FACTORS), 1])
    z = np.hstack([FACTORS, 1e-3 * noise])
    assert factor_vae_score(z, FACTORS, **FEW) == 1.0
    dead = {"modularity": 0.0, "mig": 0.0, "sap": 0.0, "irs": 0.0, "disentanglement": 0.0}
    dead |= {"factor_vae": 1 / 3, "beta_vae": 1 / 3, "completeness": 0.0, "explicitness": 0.5}
    found = all_scores(np.full([len(FACTORS), 2], 0.5))
    assert {name: found[name] for name in dead} == pytest.approx(dead, abs=1e-6)


def test_a_dimension_in_small_units_votes_as_the_others_do():
    for units in ([1.0, 10.0, 100.0], [0.02, 0.1, 0.1]):
        assert factor_vae_score(FACTORS * np.array(units), FACTORS, **FEW) == 1.0


def test_units_do_not_matter():
    z = FACTORS + np.random.default_rng(2).normal(size=FACTORS.shape)
    drawn = {"num_train": 600, "num_test": 300, "seed": 0}
    for score in (beta_vae_score, factor_vae_score):
        known = score(z, FACTORS, **drawn)
        assert score(z * [1.0, -4.0, 0.3] + 5.0, FACTORS, **drawn) == pytest.approx(known), score
        assert 1 / 3 < known < 1


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0.0), (1.0, 1e8)])
def test_trees_see_differences_of_any_size(scale, shift):
    z = scale * FACTORS + shift
    assert sap(z, FACTORS) == sap(FACTORS, FACTORS)
    assert dci(z, FACTORS, num_trees=3).disentanglement == 1.0


@pytest.mark.parametrize("seed", [-1, 2**40, 2**64 - 1])
def test_a_seed_is_any_integer_of_64_bits(seed):
    found = disentanglement.scores(FACTORS, FACTORS, **FEW, seed=seed, progress=False)
    assert found.mig == pytest.approx(1.0)
    assert found.factor_vae == 1.0


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
@pytest.mark.parametrize("few", ["num_train", "num_test"])
def test_every_factor_has_to_be_asked_for(score, few):
    with pytest.raises(ValueError, match=f'"{few}" of {score.__name__}.* at least 3. Received: 2'):
        score(FACTORS, FACTORS, **FEW | {few: 2})


def test_draws_depend_on_the_seed_alone():
    z = FACTORS + np.random.default_rng(2).normal(size=FACTORS.shape)

    def drawn(seed):
        scores = [f(z, FACTORS, seed=seed, **FEW) for f in (beta_vae_score, factor_vae_score)]
        found = dci(z, FACTORS, num_trees=3, seed=seed)
        return [*scores, found.disentanglement, found.informativeness, sap(z, FACTORS, seed=seed)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_the_table_of_scores(capsys):
    found = disentanglement.scores(FACTORS, FACTORS, **FEW, seed=3)
    assert "disentanglement" in capsys.readouterr().out  # the progress bar
    assert (found.num_rows, found.seed) == (len(FACTORS), 3)
    fields = {field.name for field in dataclasses.fields(found)}
    assert len(found.table) == len(fields - {"mutual_information", "num_rows", "seed"})
    assert dict(found.table)["FactorVAE score"] == found.factor_vae
    np.testing.assert_allclose(np.diag(found.mutual_information), np.log(SIZES))


@pytest.mark.parametrize(
    ("z", "factors", "message"),
    [
        (FACTORS, None, r"needs the factors.*None.*dsprites.*splits\.factors"),
        (FACTORS[:5], FACTORS, r"same N rows.*\(5, 3\) and \(480, 3\)"),
        (FACTORS[:, 0], FACTORS, r"same N rows.*\(480,\)"),
        (FACTORS[:, :1], FACTORS, "at least 2 of each.*1 and 3"),
        (FACTORS, FACTORS[:, :1], "at least 2 of each.*3 and 1"),
        (FACTORS, FACTORS / 2, "whole numbers.*float64.*digitize"),
        (FACTORS * np.nan, FACTORS, "NaN"),
        (FACTORS, FACTORS * [1, 0, 1], "Factor 1 has the same value, 0, in all 480 rows"),
        (
            FACTORS[:24],
            FACTORS[:24] + np.eye(24, 3, -3, int) * 9,
            "too few rows: value .* of factor 0",
        ),
    ],
)
def test_what_has_no_score_is_refused(z, factors, message):
    with pytest.raises(ValueError, match=message):
        disentanglement.scores(z, factors, progress=False)
