"""The generator against its published vectors, its normals against the normal distribution."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_vae.noise import as_seed, normals, pick, standard_normals, threefry
from keras_vae.sampling import Sampling


def signed(*words):
    return tf.constant(np.array(words, np.uint32).view(np.int32))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known-answer vectors of the Random123 distribution, threefry2x32 with 20 rounds
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
def test_threefry_known_answers(counter, key, expected, jit_compile):
    function = threefry if jit_compile is None else tf.function(threefry, jit_compile=jit_compile)
    counter = signed(*counter)
    words = function(signed(*key), counter[0], counter[1])
    assert tuple(int(w.numpy()) & 0xFFFFFFFF for w in words) == expected


def test_normals_are_normal():
    sample = normals(as_seed(11), 40_000, 5).numpy()
    assert sample.dtype == np.float32
    assert np.isfinite(sample).all()
    assert stats.kstest(sample.ravel(), "norm").pvalue > 0.01
    for column in sample.T:
        assert stats.kstest(column, "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(sample.T) - np.eye(5)).max() < 0.02
    assert abs(np.corrcoef(sample[:-1, 0], sample[1:, 0])[0, 1]) < 0.02
    fourth_moment = np.mean(sample**4)
    assert fourth_moment == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7)])
def test_normals_of_training_are_the_same_eagerly_and_in_a_graph(shape):
    def draw(seed, shape=shape):  # a constant seed would be folded before XLA sees it
        return standard_normals(seed, tf.constant(shape))

    eager, compiled = draw(as_seed(5)).numpy(), tf.function(draw, jit_compile=True)
    np.testing.assert_allclose(tf.function(draw)(as_seed(5)), eager, atol=2e-6)
    np.testing.assert_array_equal(compiled(as_seed(5)), compiled(as_seed(5)))
    for many in (draw(as_seed(5), (100_000, 3)), compiled(as_seed(5), (100_000, 3))):
        assert stats.kstest(np.ravel(many), "norm").pvalue > 0.01


def test_first_rows_do_not_depend_on_how_many():
    few, many = normals(as_seed(3), 5, 7), normals(as_seed(3), 1000, 7)
    np.testing.assert_allclose(few, many[:5], atol=1e-6)


def test_seeds_differ_in_both_words():
    draws = [normals(as_seed(seed), 4, 3).numpy() for seed in (1, 2, (1, 1), 1 + (2 << 32), -1)]
    for i in range(len(draws)):
        for j in range(i):
            assert not np.allclose(draws[i], draws[j])
    np.testing.assert_array_equal(as_seed(5 + (7 << 32)), as_seed((5, 7)))


@pytest.mark.parametrize("seed", [1.5, "seven", [1, 2, 3], None, [1.0, 2.0]])
def test_unfit_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="Expected an integer of 64 bits or a pair"):
        as_seed(seed)


def test_pick_follows_the_probabilities():
    probs = np.array([0.1, 0.6, 0.0, 0.3], np.float32)
    chosen = pick(normals(as_seed(1), 100_000, 2), tf.constant(probs)).numpy()
    np.testing.assert_allclose(np.bincount(chosen, minlength=4) / 100_000, probs, atol=0.006)


def test_draws_are_counted_and_seeded():
    sampling = Sampling(seed=4)
    first, second = sampling.next_seed().numpy(), sampling.next_seed().numpy()
    assert not np.array_equal(first, second)
    assert int(sampling.draws.numpy()) == 2
    sampling.draws.assign(0)
    np.testing.assert_array_equal(sampling.next_seed(), first)
    assert not np.array_equal(Sampling(seed=5).next_seed(), first)


def test_a_given_seed_leaves_the_counter_alone():
    sampling, params = Sampling(), tf.zeros([3, 4])
    _, a = sampling.draw(sampling.posterior, params, seed=as_seed(9))
    _, b = sampling.draw(sampling.posterior, params, seed=as_seed(9))
    np.testing.assert_array_equal(a, b)
    assert int(sampling.draws.numpy()) == 0


def test_sampling_draws_from_its_posterior():
    params = np.tile(np.float32([[1.0, -2.0, 0.0, np.log(0.25)]]), (200_000, 1))
    z = Sampling(seed=1)(params).numpy()
    np.testing.assert_allclose(z.mean(0), [1.0, -2.0], atol=0.01)
    np.testing.assert_allclose(z.std(0), [1.0, 0.5], rtol=0.01)
    assert Sampling()(params[:3], num_samples=5).shape == (5, 3, 2)


def test_evaluation_draws_are_none_of_trainings():
    layer = Sampling(seed=5)
    training = [tuple(layer.next_seed().numpy()) for _ in range(50)]
    with layer.evaluation_draws():
        evaluation = [tuple(layer.next_seed().numpy()) for _ in range(50)]
    assert not set(training) & set(evaluation)
    assert len(set(training + evaluation)) == 100


def test_all_bits_of_a_seed_count():
    seeds = (0, 1, 2**31, 2**32, 2**33 + 1, -1, 2**63)
    assert len({tuple(Sampling(seed=seed).next_seed().numpy()) for seed in seeds}) == len(seeds)
