"""Splits, protocols and the stream of training batches."""

import functools
import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import data
from keras_vae.data.protocols import bernoulli, unchanged, unit_interval
from keras_vae.data.streams import Stream, key, permutation

GREY_LEVELS = np.arange(256, dtype=np.uint8)


@functools.cache
def mnist(**options):
    return data.load("mnist", **options)


def numbered(n, **options):
    """Examples [n, 2] that say which they are."""
    values = np.stack([np.arange(n), np.arange(n)], axis=1).astype(np.float32)
    return data.from_arrays(values, values[:10] + n, **options)


def grey_images(n=300, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 5), np.uint8)


def batches(dataset, n):
    return [batch.numpy() for batch in dataset.take(n)]


def whole(dataset):
    return np.concatenate([batch.numpy() for batch in dataset])


# Protocols


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (unit_interval, GREY_LEVELS),
        (unit_interval, np.linspace(0, 1, 7, dtype=np.float32)),
        (unchanged, GREY_LEVELS),
        (unchanged, np.linspace(-3, 3, 7, dtype=np.float32)),
        (functools.partial(bernoulli, seed=[3, 4]), GREY_LEVELS),
        (functools.partial(bernoulli, seed=[3, 4]), GREY_LEVELS[1:]),
        (functools.partial(bernoulli, seed=[3, 4]), np.linspace(0, 1, 99, dtype=np.float32)),
    ],
)
def test_functions_are_the_same_eagerly_and_in_a_map(function, values):
    eager = function(tf.constant(values))
    (mapped,) = tf.data.Dataset.from_tensors(values).map(function)
    np.testing.assert_array_equal(eager, mapped)
    assert eager.dtype == mapped.dtype
    assert eager.shape == values.shape


def test_draws_are_the_same_under_xla():
    compiled = tf.function(bernoulli, jit_compile=True)(tf.constant(GREY_LEVELS), [3, 4])
    np.testing.assert_array_equal(compiled, bernoulli(tf.constant(GREY_LEVELS), [3, 4]))


PIXEL_PROTOCOLS = [name for name in data.PROTOCOLS if name != "table"]


@pytest.mark.parametrize("name", data.PROTOCOLS)
def test_protocols_are_the_same_eagerly_and_in_a_map(name):
    protocol = data.PROTOCOLS[name]
    values, seed = tf.constant(grey_images(20)), tf.constant([1, 2], tf.int64)
    eager = protocol(values, seed)
    (mapped,) = tf.data.Dataset.from_tensors((values, seed)).map(protocol)
    np.testing.assert_array_equal(eager, mapped)
    assert eager.dtype == tf.float32
    assert mapped.shape == values.shape


def test_grey_divides_by_255_and_leaves_floats():
    np.testing.assert_array_equal(unit_interval(GREY_LEVELS), GREY_LEVELS / np.float32(255))
    np.testing.assert_array_equal(unit_interval(tf.constant([0.0, 0.3])), np.float32([0, 0.3]))


@pytest.mark.parametrize("probabilities", [GREY_LEVELS, (GREY_LEVELS / 255).astype(np.float32)])
def test_bernoulli_draws_average_to_the_pixels_and_black_and_white_are_fixed(probabilities):
    draws = 20_000
    values = tf.constant(np.tile(probabilities, (draws, 1)))
    ones = bernoulli(values, key(0, Stream.TRAINING_DRAWS)).numpy()
    mean, p = ones.mean(0), GREY_LEVELS / 255
    assert set(np.unique(ones)) == {0, 1}
    assert mean[0] == 0.0
    assert mean[255] == 1.0
    deviations = (mean - p)[1:-1] / np.sqrt(p * (1 - p) / draws)[1:-1]
    assert np.abs(deviations).max() < 4.5
    assert abs(np.mean(deviations**2) - 1) < 0.35  # of 254 squared standard normals


def test_black_is_never_drawn_as_one_and_white_never_as_zero():
    for pixel, drawn in ((0, 0), (255, 1)):
        values = tf.fill([2_000_000], tf.constant(pixel, tf.uint8))  # of 2**16 different draws
        assert set(np.unique(bernoulli(values, [0, 0]))) == {drawn}


def test_static_and_evaluation_draws_do_not_depend_on_the_number_of_examples():
    images = grey_images(5000)
    static = data.PROTOCOLS["static"]
    np.testing.assert_array_equal(
        static.store(images, Stream.TRAIN)[:4500], static.store(images[:4500], Stream.TRAIN)
    )


def test_splits_and_chunks_of_a_split_are_drawn_independently():
    values = np.full((8192, 1), 128, np.uint8)
    static = data.PROTOCOLS["static"]
    drawn = [
        chunk.ravel()
        for stream in (Stream.TRAIN, Stream.VALIDATION, Stream.TEST)
        for chunk in np.split(static.store(values, stream), 2)
    ]
    correlations = np.corrcoef(drawn)[np.triu_indices(6, k=1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4096)


# The training stream


@pytest.mark.parametrize("protocol", ["dynamic", "grey", "static"])
@pytest.mark.parametrize("step", [0, 5, 6, 19])
def test_a_stream_started_late_is_the_uninterrupted_stream(protocol, step):
    splits = data.from_arrays(grey_images(), protocol=protocol, batch_size=37, seed=5)
    assert splits.steps_per_epoch == 6
    expected = batches(splits.train, step + 8)[step:]
    np.testing.assert_array_equal(batches(splits.train_from(step), 8), expected)


def test_mnist_resumed_at_step_700_is_the_uninterrupted_stream():
    splits = mnist(seed=3)
    assert splits.steps_per_epoch == 429
    uninterrupted = batches(splits.train.skip(700), 2)
    np.testing.assert_array_equal(batches(splits.train_from(700), 2), uninterrupted)
    # 857 is the last step of the second epoch.
    resumed = batches(splits.train_from(857), 2)
    np.testing.assert_array_equal(resumed[1], batches(splits.train_from(858), 1)[0])


def test_an_epoch_visits_every_example_at_most_once_and_drops_the_partial_batch():
    splits = numbered(107, batch_size=10, validation=0)
    for epoch in range(3):
        seen = np.concatenate(batches(splits.train_from(10 * epoch), 10))[:, 0]
        assert len(seen) == 100
        assert len(set(seen)) == 100


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_orders_of_successive_epochs_are_not_correlated(seed):
    orders = [permutation(2000, key(seed, Stream.ORDER, epoch)).numpy() for epoch in range(8)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(2000))
    correlations = np.corrcoef(np.argsort(orders, axis=1))[np.triu_indices(8, k=1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(2000)


def test_the_stream_has_a_new_order_in_every_epoch():
    splits = numbered(1000, batch_size=50, validation=0)
    orders = np.concatenate(batches(splits.train, 80))[:, 0].reshape(4, 1000)
    correlations = np.corrcoef(np.argsort(orders, axis=1))[np.triu_indices(4, k=1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(1000)


def test_the_same_pairs_do_not_meet_in_every_epoch():
    batch_of = [
        np.argsort(permutation(2000, key(0, Stream.ORDER, epoch)).numpy()) // 100
        for epoch in range(10)
    ]
    together = [
        (one[:, None] == one[None]) & (other[:, None] == other[None])
        for one, other in itertools.pairwise(batch_of)
    ]
    pairs = np.mean([np.triu(t, 1).sum() for t in together])
    expected = 20 * (100 * 99 / 2) * 99 / 1999  # pairs of one batch that share the next one too
    assert abs(pairs / expected - 1) < 0.03


def test_orders_and_draws_depend_on_the_seed():
    one, same, other = (
        batches(data.from_arrays(grey_images(), protocol="dynamic", seed=s).train, 1)[0]
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_dynamic_pixels_are_drawn_anew_every_epoch_and_average_to_the_pixels():
    image = np.zeros((2, 8, 8), np.uint8)
    image[:, :, 1:] = np.linspace(1, 254, 7).astype(np.uint8)
    image[:, 0, :] = 255
    splits = data.from_arrays(
        image, image, protocol="dynamic", batch_size=2, validation=0
    )  # two equal images: the order does not matter, and an epoch is one step
    drawn = np.stack(batches(splits.train, 1000))
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0, 0], drawn[0, 1])
    p = image[0] / 255.0
    mean = drawn.mean((0, 1))[..., 0]
    np.testing.assert_array_equal(mean[p == 0], 0)
    np.testing.assert_array_equal(mean[p == 1], 1)
    assert np.abs(mean - p).max() < 4.5 * np.sqrt(0.25 / 2000)
    np.testing.assert_allclose(splits.mean[..., 0], p, atol=1e-7)
    np.testing.assert_array_equal(drawn[:3], batches(splits.train_from(0), 3))


def test_static_training_pixels_are_drawn_once():
    splits = data.from_arrays(grey_images(), protocol="static", batch_size=240)
    order = [np.argsort([x.tobytes() for x in batch]) for batch in batches(splits.train, 2)]
    first, second = batches(splits.train, 2)
    np.testing.assert_array_equal(first[order[0]], second[order[1]])
    assert set(np.unique(first)) == {0.0, 1.0}


def test_cardinalities_are_known():
    splits = data.from_arrays(grey_images(), protocol="dynamic", batch_size=16)
    assert splits.train.cardinality() == tf.data.INFINITE_CARDINALITY
    assert splits.test.cardinality() == 2


# Evaluation data


@pytest.mark.parametrize("protocol", PIXEL_PROTOCOLS)
def test_evaluation_data_are_the_same_in_every_pass_and_for_every_training_seed(protocol):
    splits = data.from_arrays(grey_images(), protocol=protocol, seed=1, batch_size=16)
    other = data.from_arrays(grey_images(), protocol=protocol, seed=2, batch_size=7, flatten=True)
    for split in ("validation", "test"):
        first = whole(getattr(splits, split))
        np.testing.assert_array_equal(first, whole(getattr(splits, split)))
        np.testing.assert_array_equal(first.reshape(30, -1), whole(getattr(other, split)))
        np.testing.assert_array_equal(first, splits.examples(split))
        assert splits.fingerprints[split] == other.fingerprints[split]
        assert splits.fingerprints[split] == hashlib.sha256(first.tobytes()).hexdigest()
    assert [len(batch) for batch in splits.test] == [16, 14]


def test_fingerprints_tell_data_and_protocols_apart():
    prints = {
        data.from_arrays(images, protocol=protocol).fingerprints["test"]
        for images in (grey_images(seed=0), grey_images(seed=1))
        for protocol in PIXEL_PROTOCOLS
        if protocol != "static"  # whose test examples are those of "dynamic"
    }
    assert len(prints) == 6


def test_fingerprints_know_the_labels_that_networks_are_told():
    def prints(labels, condition):
        return data.from_arrays(
            grey_images(), train_labels=labels, protocol="grey", condition=condition
        ).fingerprints["train"]

    labels = np.arange(len(grey_images())) % 3
    assert prints(labels, None) == prints(labels[::-1], None)
    assert prints(labels, "label") != prints(labels[::-1], "label")


def test_dynamic_and_static_share_their_evaluation_draws():
    dynamic, static = (data.from_arrays(grey_images(), protocol=p) for p in ("dynamic", "static"))
    assert dynamic.fingerprints["test"] == static.fingerprints["test"]
    assert dynamic.fingerprints["train"] != static.fingerprints["train"]


# Splits


def test_validation_is_taken_from_the_training_set_at_random():
    """Arrays may be sorted by class: their last rows would be all of one."""
    splits = numbered(100, batch_size=10, validation=20)
    train, held_out = splits.examples("train")[:, 0], whole(splits.validation)[:, 0]
    np.testing.assert_array_equal(np.sort([*train, *held_out]), np.arange(100))
    assert len(held_out) == 20
    assert np.ptp(held_out) > 50
    np.testing.assert_array_equal(whole(splits.test)[:, 0], np.arange(100, 110))


def test_sets_that_are_given_are_kept():
    train, validation, test = (np.full((n, 2), n, np.float32) for n in (20, 7, 5))
    splits = data.from_arrays(
        train, test, validation=validation, validation_labels=np.arange(7), batch_size=4
    )
    assert (splits.num_train, splits.num_validation, splits.num_test) == (20, 7, 5)
    np.testing.assert_array_equal(whole(splits.validation), validation)
    np.testing.assert_array_equal(splits.validation_labels, np.arange(7))
    assert data.from_arrays(train, validation=validation, batch_size=4).num_test == 2
    with pytest.raises(ValueError, match="validation_labels need validation examples"):
        data.from_arrays(train, validation=3, validation_labels=np.arange(3))
    with pytest.raises(ValueError, match="Training and validation examples differ in kind"):
        data.from_arrays(train, validation=validation[:, :1])


def test_arrays_are_copied():
    values = np.zeros((40, 2), np.float32)
    splits = data.from_arrays(values, batch_size=4)
    values[:] = 1
    assert splits.examples("train").max() == 0
    assert splits.is_binary
    assert splits.mean.max() == 0


def test_validation_is_a_tenth_by_default_and_may_be_empty():
    assert numbered(100, batch_size=10).num_validation == 10
    splits = numbered(100, batch_size=10, validation=0)
    assert splits.num_validation == 0
    assert splits.validation is None
    assert splits.validation_labels is None


def test_one_set_is_divided_at_random_but_always_in_the_same_way():
    values = np.arange(200, dtype=np.float32).reshape(100, 2)
    splits = data.from_arrays(values, train_labels=np.arange(100), batch_size=10, seed=1)
    assert (splits.num_train, splits.num_validation, splits.num_test) == (80, 10, 10)
    parts = [splits.train_labels, splits.validation_labels, splits.test_labels]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(100))
    np.testing.assert_array_equal(splits.examples("test"), values[splits.test_labels])
    assert np.ptp(splits.test_labels) > 50
    again = data.from_arrays(values, train_labels=np.arange(100), batch_size=5, seed=2)
    np.testing.assert_array_equal(splits.test_labels, again.test_labels)


def test_a_tiny_set_has_no_test_examples():
    splits = data.from_arrays(np.ones((9, 2)), batch_size=3)
    assert splits.test is None
    assert splits.test_labels is None
    assert ("test", "none") in splits.summary()


def test_examples_of_a_redrawn_split_are_draws_of_the_first_images():
    splits = data.from_arrays(grey_images(), protocol="dynamic")
    examples = splits.examples("train", 12)
    assert examples.shape == (12, 6, 5, 1)
    assert set(np.unique(examples)) == {0.0, 1.0}
    np.testing.assert_array_equal(examples[:5], splits.examples("train", 5))
    pixels = splits.stored["train"].values[:12]
    np.testing.assert_array_equal(examples[pixels == 255], 1)
    np.testing.assert_array_equal(examples[pixels == 0], 0)


@pytest.mark.parametrize("protocol", PIXEL_PROTOCOLS)
def test_mean_is_that_of_the_training_examples(protocol):
    splits = data.from_arrays(grey_images(), protocol=protocol)
    assert splits.mean.dtype == np.float32
    assert splits.mean.shape == splits.shape
    pixels = splits.stored["train"].values.astype(np.float64)
    unit = 255 if protocol in ("grey", "dynamic") else 1
    np.testing.assert_allclose(splits.mean, pixels.mean(0) / unit, rtol=1e-6)
    if protocol != "dynamic":
        np.testing.assert_allclose(splits.mean, splits.examples("train").mean(0), rtol=1e-5)


def test_flatten_reshapes_every_split():
    splits = data.from_arrays(grey_images(), protocol="grey", batch_size=8, flatten=True)
    assert splits.shape == (30,)
    assert splits.mean.shape == (30,)
    assert splits.train.element_spec.shape == (8, 30)
    assert splits.test.element_spec.shape.as_list() == [None, 30]


def test_default_protocols_follow_the_values():
    assert data.from_arrays(grey_images()).protocol == "grey"
    assert data.from_arrays(grey_images() > 128).protocol == "raw"
    assert data.from_arrays(grey_images() // 128).protocol == "raw"
    assert data.from_arrays(grey_images() / 255.0).protocol == "raw"


def test_pixels_stay_in_eight_bits():
    splits = data.from_arrays(grey_images(), protocol="dynamic")
    assert {held.values.dtype for held in splits.stored.values()} == {np.dtype(np.uint8)}


def test_summary_and_repr_say_what_the_data_are():
    splits = data.from_arrays(grey_images(), name="noise", protocol="grey", batch_size=100)
    rows = dict(splits.summary())
    assert rows["data"] == "noise"
    assert rows["event shape"] == "6 x 5 x 1"
    assert rows["train"] == "240 examples, 2 steps of 100, seed 0"
    assert rows["test"] == f"30 examples, sha256 {splits.fingerprints['test'][:12]}"
    assert repr(splits) == (
        "Splits(name='noise', protocol='grey', shape=(6, 5, 1), num_train=240, "
        "num_validation=30, num_test=30, batch_size=100, seed=0)"
    )


# MNIST


def test_mnist_is_dynamic_with_the_usual_splits():
    splits = mnist()
    assert (splits.num_train, splits.num_validation, splits.num_test) == (55000, 5000, 10000)
    assert (splits.protocol, splits.shape) == ("dynamic", (28, 28, 1))
    assert splits.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert splits.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits.class_names == tuple("0123456789")
    assert abs(splits.mean.mean() - 0.1307) < 1e-4
    assert splits.train.element_spec == tf.TensorSpec((128, 28, 28, 1), tf.float32)


def test_mnist_splits_do_not_overlap():
    grey = mnist(protocol="grey")
    images = [{image.tobytes() for image in held.values} for held in grey.stored.values()]
    assert [len(split) for split in images] == [55000, 5000, 10000]
    assert len(set.union(*images)) == 70000


def test_mnist_evaluation_data_never_change():
    # These numbers name the data that published likelihoods of this package are for.
    assert mnist().fingerprints == mnist(seed=3).fingerprints
    assert mnist().fingerprints["validation"].startswith("666623c3dbd97a00")
    assert mnist().fingerprints["test"].startswith("0db3b899ba0a6c65")


# Errors


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("split", ["train", "test"])
def test_values_that_are_not_finite_are_counted_and_located(bad, split):
    sets = {"train": np.zeros((40, 3)), "test": np.zeros((40, 3))}
    sets[split][[7, 7, 9], [2, 1, 0]] = bad
    with pytest.raises(ValueError, match=rf"{split} set .* 3 of 120 values, .*index \[7, 1\]"):
        data.from_arrays(**sets)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(7), r"train set has the wrong rank.*shape \(\)"),
        (np.zeros((2, 3, 4, 5, 6)), r"wrong rank.*\(3, 4, 5, 6\)"),
        (np.zeros((0, 4)), r"train set is empty.*\(0, 4\)"),
        (np.zeros((4, 0)), r"train set is empty.*\(0,\)"),
        (np.full((4, 2), "a"), "not made of real numbers.*<U1"),
        (np.full((4, 2), None), "not made of real numbers.*object"),
        (np.zeros((4, 2), complex), "not made of real numbers.*complex128"),
    ],
)
def test_arrays_that_are_no_examples_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(values)


def test_fewer_training_examples_than_one_batch_are_refused():
    with pytest.raises(ValueError, match=r"at least 128.*Received: 80 training.* 10 for valid"):
        data.from_arrays(np.zeros((100, 2)))


def test_unknown_protocols_are_refused_with_the_list():
    with pytest.raises(ValueError, match=r'"grey", "dynamic", "static", "raw".*\'binary\''):
        data.from_arrays(grey_images(), protocol="binary")


@pytest.mark.parametrize("protocol", ["grey", "dynamic", "static"])
@pytest.mark.parametrize("values", [[-0.5, 0.5], [0.5, 255.0]])
def test_floats_outside_the_unit_interval_are_no_probabilities(protocol, values):
    table = np.tile(values, (200, 1))
    with pytest.raises(ValueError, match=rf'"{protocol}".*floats in \[0, 1\].*"raw"'):
        data.from_arrays(table, protocol=protocol)
    with pytest.raises(ValueError, match="test values from"):
        data.from_arrays(np.clip(table, 0, 1), table, protocol=protocol)
    assert data.from_arrays(table).protocol == "raw"


@pytest.mark.parametrize("protocol", ["grey", "dynamic", "static"])
def test_binary_pixels_are_not_taken_for_grey_levels(protocol):
    with pytest.raises(ValueError, match=r'binary already.*"raw"'):
        data.from_arrays(grey_images() // 128, protocol=protocol)


def test_dark_test_images_are_not_taken_for_binary_ones():
    splits = data.from_arrays(grey_images(), np.ones((5, 6, 5), np.uint8), protocol="grey")
    np.testing.assert_array_equal(splits.examples("test"), np.float32(1) / np.float32(255))


def test_floats_in_the_unit_interval_are_probabilities():
    splits = data.from_arrays(grey_images() / 255.0, protocol="dynamic")
    assert set(np.unique(batches(splits.train, 1))) == {0.0, 1.0}
    np.testing.assert_allclose(
        splits.mean, data.from_arrays(grey_images(), protocol="grey").mean, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1.*batch_size=0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"seed": -1}, "seed must be a whole number, at least 0.*seed=-1"),
        ({"validation": -1}, "validation must be a whole number"),
        ({"validation": 300}, "must leave training examples.*less than 300.*validation=300"),
        ({"test": np.zeros((9, 3, 3), np.uint8)}, r"differ in kind.*\(6, 5, 1\).*\(3, 3, 1\)"),
        ({"test": np.zeros((9, 6, 5))}, "differ in kind.*uint8.*float32"),
        ({"test": None, "test_labels": np.zeros(9)}, "test_labels need test examples"),
        ({"train_labels": np.zeros(299)}, r"labels do not fit.*300.*\(299,\)"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    images = grey_images()
    with pytest.raises(ValueError, match=message):
        data.from_arrays(images, **{"test": images[:9], **options})


def test_examples_that_do_not_exist_are_refused():
    splits = numbered(100, batch_size=10, validation=0)
    with pytest.raises(ValueError, match=r"\['train', 'test'\].*'validation'"):
        splits.examples("validation")
    with pytest.raises(ValueError, match=r"test split has 10 examples.*n=11"):
        splits.examples("test", 11)
    with pytest.raises(ValueError, match="step=-1"):
        splits.train_from(-1)


def test_importing_the_package_does_not_import_tensorflow_datasets():
    code = "import sys, keras_vae.data; sys.exit('tensorflow_datasets' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
