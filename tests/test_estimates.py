"""What estimates say of how they were made, and which of them can be compared."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_vae import evaluation

oracle = LinearGaussian.random()
X = oracle.sample(25)


def estimate(model=None, x=X, num_samples=50):
    return evaluation.log_likelihood(model or oracle.vae(), x, num_samples, progress=False)


def test_an_estimate_knows_its_examples_in_whatever_form_they_came():
    found = estimate()
    assert found.sha256 == hashlib.sha256(X.tobytes()).hexdigest()
    assert found.sha256[:12] in str(found)
    assert "k=50" in str(found)
    assert estimate(x=X.astype(np.float64)).sha256 == found.sha256
    assert estimate(x=tf.data.Dataset.from_tensor_slices(X).batch(7)).sha256 == found.sha256
    assert estimate(x=X[::-1]).sha256 != found.sha256


def test_entries_of_a_dict_count_whatever_the_batches():
    from keras_vae.evaluation._batches import Digest

    def digest(mask, rows):
        found = Digest()
        for start in range(0, len(X), rows):
            found.update({"x": X[start : start + rows], "mask": mask[start : start + rows]})
        return found.hexdigest()

    mask = np.ones_like(X)
    assert digest(mask, 25) == digest(mask, 4)
    assert digest(mask, 25) != digest(1 - mask, 25)


def test_a_difference_is_paired():
    """Both estimates vary by nats over examples, their difference hardly: it is the known gap."""
    better, worse = estimate(num_samples=2000), estimate(oracle.vae(shift=0.1), num_samples=2000)
    found = evaluation.difference(better, worse)
    apart = better.per_example - worse.per_example
    assert found.mean == pytest.approx(apart.mean())
    assert found.standard_error == pytest.approx(apart.std(ddof=1) / 5)
    assert found.standard_error < better.standard_error / 20


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"num_samples": 51}, "k 50 and 51"),
        ({"x": X[:24]}, "sha256"),
        ({"x": X + 0.001}, "sha256"),
    ],
)
def test_numbers_that_cannot_be_compared_are_not(other, message):
    with pytest.raises(ValueError, match=message):
        evaluation.difference(estimate(), estimate(**other))
