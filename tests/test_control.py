"""Generation with control: numbers by hand on a linear model, pictures read back."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vae import VAE, likelihoods, networks, pictures, priors
from keras_vae.applications import control
from keras_vae.models import PATHS

SIZE, CLASSES = 4, 3
rng = np.random.default_rng(0)
MIXING = rng.normal(size=(SIZE, SIZE)).astype(np.float32) + 2 * np.eye(SIZE, dtype=np.float32)
OFFSETS = rng.normal(size=(CLASSES, SIZE)).astype(np.float32)
STDDEV = 0.5


def linear_vae(conditional: bool = True) -> VAE:
    """Decoder x = z MIXING + OFFSETS[label]; the encoder's mean is its inverse, its stddev STDDEV."""

    def network(name, kernel, per_class, bias):
        main, label = keras.Input((SIZE,), name=name), keras.Input((), name="label", dtype="int32")
        one_hot = keras.layers.CategoryEncoding(CLASSES, output_mode="one_hot")(label)
        dense = keras.layers.Dense(kernel.shape[1])
        joined = keras.layers.Concatenate()([main, one_hot])
        model = keras.Model([main, label], dense(joined)) if conditional else None
        if model is None:
            model = keras.Model(main, dense(main))
        dense.set_weights([np.concatenate([kernel, per_class])[: dense.kernel.shape[0]], bias])
        return model

    inverse = np.linalg.inv(MIXING)
    zeros = np.zeros_like(inverse)
    encoder = network(
        "x",
        np.concatenate([inverse, zeros], axis=1),
        np.concatenate([-OFFSETS @ inverse, np.zeros_like(OFFSETS)], axis=1),
        np.repeat([0.0, 2 * np.log(STDDEV)], SIZE),
    )
    decoder = network("z", MIXING, OFFSETS, np.zeros(SIZE))
    return VAE(encoder, decoder, likelihood=likelihoods.Normal(scale=1.0))


def examples(num_examples=6):
    return rng.normal(size=(num_examples, SIZE)).astype(np.float32)


def close(received, expected):
    assert received.shape == np.shape(expected)
    np.testing.assert_allclose(received, expected, atol=2e-5)


@pytest.fixture(scope="module")
def model():
    return linear_vae()


@pytest.fixture(scope="module")
def unconditional():
    return linear_vae(conditional=False)


def test_show_is_the_way_back_from_embed(model, unconditional):
    x, label = examples(), np.array([0, 1, 2, 0, 1, 2])
    z = model.embed({"x": x, "label": label})
    close(model.show(z, label=label), x)
    close(
        model.show(np.stack([z, 2 * z], axis=1), label=1),
        np.stack([z @ MIXING, 2 * z @ MIXING], axis=1) + OFFSETS[1],
    )
    close(unconditional.show(z[0:1]), z[0:1] @ MIXING)
    for wrong in (z[:, :2], z[:0], z[0], z + np.nan):
        with pytest.raises(ValueError, match=r"NaN|Latents have the shape \(N, 4\)"):
            unconditional.show(wrong)


def test_transfer_keeps_the_style_and_changes_the_class(model, unconditional):
    x, label, new = examples(), np.array([0, 1, 2, 0, 1, 2]), np.array([1, 1, 0, 2, 2, 2])
    batch = {"x": x, "label": label}
    close(control.transfer(model, batch, label=new), x - OFFSETS[label] + OFFSETS[new])
    close(control.transfer(model, batch, label=2), x - OFFSETS[label] + OFFSETS[2])
    grid = control.analogies(model, batch, label=[2, 0])
    close(grid, (x - OFFSETS[label])[:, np.newaxis] + OFFSETS[[2, 0]])
    with pytest.raises(ValueError, match=r"no conditions to change.*--condition label"):
        control.transfer(unconditional, {"x": x}, label=1)
    with pytest.raises(ValueError, match=r"asks for the conditions \['label'\].*colour"):
        control.transfer(model, batch, colour=1)
    with pytest.raises(ValueError, match=r"'label'.*is missing"):
        control.transfer(model, {"x": x}, label=1)
    with pytest.raises(ValueError, match="empty"):
        control.transfer(model, {"x": x[:0], "label": label[:0]}, label=1)
    with pytest.raises(ValueError, match=r"examples of shape \(4,\).*\(6, 3\)"):
        control.analogies(model, {"x": x[:, 1:], "label": label}, label=[0, 1])


def test_an_attribute_is_a_direction(unconditional):
    x, direction = examples(), np.array([1.0, -2.0, 0.5, 0.0], np.float32)
    vector = control.attribute_vector(unconditional, x + direction @ MIXING, x)
    close(vector, direction)
    moved = control.apply_attribute(unconditional, x[:2], vector, [-1, 0, 0.5])
    steps = np.array([-1, 0, 0.5])[:, np.newaxis] * (direction @ MIXING)
    close(moved, x[:2, np.newaxis] + steps)
    with pytest.raises(ValueError, match=r"\(4,\). Received: \(3,\)"):
        control.apply_attribute(unconditional, x, vector[:3])


def test_an_attribute_moves_examples_under_their_own_conditions(model):
    x, label, vector = examples(2), np.array([2, 1]), np.ones(SIZE)
    moved = control.apply_attribute(model, {"x": x, "label": label}, vector, [0, 1])
    close(moved, x[:, np.newaxis] + np.array([0, 1])[:, np.newaxis] * MIXING.sum(axis=0))


def test_traversals_set_one_dimension_of_the_first_example(model, unconditional):
    x = examples()
    z = x[0] @ np.linalg.inv(MIXING)
    shown = control.traversals(unconditional, x, dims=[3, 0], values=[-1.5, 2.0])
    expected = [[x[0] + (v - z[d]) * MIXING[d] for v in (-1.5, 2.0)] for d in (3, 0)]
    close(shown, expected)
    batch = {"x": x + OFFSETS[2], "label": np.full(6, 2)}
    close(control.traversals(model, batch, [3, 0], [-1.5, 2.0]), np.array(expected) + OFFSETS[2])
    assert control.traversals(unconditional, x[:1], [1]).shape == (1, 9, SIZE)
    with pytest.raises(ValueError, match=r"0 to 3. Received: \[4\]"):
        control.traversals(unconditional, x, [4])


def test_traversals_take_the_dimensions_with_the_largest_rate(unconditional):
    z = rng.normal(size=(50, SIZE)) * [0.5, 3, 0.1, 1]
    x = (z @ MIXING).astype(np.float32)
    by_rate = control.traversals(unconditional, x, dims=3)
    close(by_rate, control.traversals(unconditional, x, dims=[1, 3, 0]))
    assert control.traversals(unconditional, x, dims=9).shape[0] == SIZE


def test_the_arc_is_slerp_for_one_length():
    a, b = rng.normal(size=(2, 5, 8))
    a, b = (3 * v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    t = np.linspace(0, 1, 7)[:, np.newaxis]
    angle = np.arccos(np.sum(a * b, axis=1) / 9)[:, np.newaxis, np.newaxis]
    slerp = np.sin((1 - t) * angle) * a[:, np.newaxis] + np.sin(t * angle) * b[:, np.newaxis]
    close(PATHS["spherical"](a, b, t[:, 0]), slerp / np.sin(angle))


def test_the_arc_for_two_lengths_and_where_there_is_no_circle():
    t = np.array([0, 0.25, 0.5, 1])
    (right,) = PATHS["spherical"](np.array([[2.0, 0]]), np.array([[0, 4.0]]), t)
    lengths, angles = np.array([2, 2.5, 3, 4]), t * np.pi / 2
    close(right, lengths[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    a = np.array([[1.0, 2.0], [1, 2], [0, 0], [1, 2], [0, 0], [1, 2]])
    b = np.array([[3.0, 6.0], [-2, -4], [1, 2], [0, 0], [0, 0], [1, 2 + 1e-9]])
    line = a[:, np.newaxis] + t[:, np.newaxis] * (b - a)[:, np.newaxis]
    close(PATHS["spherical"](a, b, t), line)
    nearly = PATHS["spherical"](np.array([[1.0, 0]]), np.array([[-2, 1e-4]]), t)[0]
    np.testing.assert_allclose(np.linalg.norm(nearly, axis=1), 1 + t, atol=1e-5)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolation_of_a_conditional_model(model, path):
    a, b, label = examples(3), examples(3), np.array([0, 2, 1])
    ways = model.interpolate(a, b, steps=5, path=path, label=label)
    first, last = ((x - OFFSETS[label]) @ np.linalg.inv(MIXING) for x in (a, b))
    z = PATHS[path](first, last, np.linspace(0, 1, 5))
    close(ways, z @ MIXING + OFFSETS[label][:, np.newaxis])
    own = model.interpolate({"x": a, "label": label}, {"x": b, "label": label}, 5, path, label=1)
    close(own, z @ MIXING + OFFSETS[1])
    with pytest.raises(ValueError, match="Did you mean 'spherical'"):
        model.interpolate(a, b, path="spheric", label=1)
    with pytest.raises(ValueError, match=r"'label'.*is missing"):
        model.interpolate(a, b)


def test_a_gif_holds_its_frames(tmp_path):
    frames = rng.integers(0, 256, (5, 6, 7, 1), dtype=np.uint8)
    path = tmp_path / "a.gif"
    pictures.save_gif(path, frames, scale=3, seconds=0.2)
    content = path.read_bytes()
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (5, (21, 18), 0)
        for number, frame in enumerate(frames):
            image.seek(number)
            assert image.info["duration"] == 200
            np.testing.assert_array_equal(np.asarray(image.convert("L"))[::3, ::3], frame[..., 0])
    pictures.save_gif(path, frames, scale=3, seconds=0.2)
    assert path.read_bytes() == content
    with pytest.raises(ValueError, match=r"frames \[T, H, W, 1 or 3\].*\(0, 6, 7, 1\)"):
        pictures.save_gif(path, frames[:0])
    assert path.read_bytes() == content


def test_rows_as_a_picture_an_animation_and_an_array(tmp_path):
    rows = rng.random((2, 4, 5, 5, 1)).astype(np.float32)
    for suffix in ("png", "gif", "npy"):
        pictures.save_rows(tmp_path / f"rows.{suffix}", rows)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows)
    with Image.open(tmp_path / "rows.png") as image:
        assert image.size == (2 * (4 * 7 + 2), 2 * (2 * 7 + 2))
    with Image.open(tmp_path / "rows.gif") as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(np.asarray(image.convert("L"))[::2, ::2])
    forth_and_back = [pictures.image_grid(rows[:, k])[..., 0] for k in (0, 1, 2, 3, 2, 1)]
    np.testing.assert_array_equal(shown, forth_and_back)
    with pytest.raises(ValueError, match=r"\(5, 3\) are no pictures"):
        pictures.save_rows(tmp_path / "b.gif", rows[..., 0][..., :3])
    with pytest.raises(ValueError, match=r"\.gif animation.*b\.jpg"):
        pictures.save_rows(tmp_path / "b.jpg", rows)
    with pytest.raises(ValueError, match=r"\.png grid or a \.npy array\. Received: b\.gif"):
        pictures.save(tmp_path / "b.gif", rows[0])


def test_an_analogy_grid_has_the_originals_in_front():
    originals, others = rng.random((2, 5, 5, 1)), rng.random((2, 3, 5, 5, 1))
    grid = pictures.analogy_grid(originals, others)
    assert grid.shape == (16, 9 + 6 + 23, 1)
    np.testing.assert_array_equal(grid[9:14, 2:7], np.uint8(np.round(255 * originals[1])))
    np.testing.assert_array_equal(
        grid[2:7, 9 + 6 + 16 : -2], np.uint8(np.round(255 * others[0, 2]))
    )


def test_the_spread_of_embeddings_stands_behind_them(unconditional):
    x = examples(3)
    z = x @ np.linalg.inv(MIXING)
    close(unconditional.embed(x, with_stddev=True), np.hstack([z, np.full((3, SIZE), STDDEV)]))


def test_the_style_is_the_place_in_a_conditional_prior():
    """A prior that moves with the class: z' = loc' + (z - loc) scale' / scale."""
    network = networks.conditional({"label": CLASSES}, 2 * SIZE, hidden=())
    loc, log_variance = rng.normal(size=(2, CLASSES, SIZE)).astype(np.float32)
    network.layers[-1].set_weights([np.hstack([loc, log_variance]), np.zeros(2 * SIZE)])
    plain = linear_vae()
    vae = plain.with_prior(priors.ConditionalNormal(network))
    x, label, new = examples(3), np.array([0, 1, 2]), np.array([2, 1, 0])
    batch = {"x": x, "label": label}
    scale = np.exp(0.5 * log_variance)
    z = loc[new] + (plain.embed(batch) - loc[label]) * scale[new] / scale[label]
    close(control.transfer(vae, batch, label=new), z @ MIXING + OFFSETS[new])
    close(control.transfer(vae, batch, label=label), x)
    first = {"x": x[1:], "label": label[1:]}
    shown = control.traversals(vae, first, [2], [-1.0, 2.0])
    steps = loc[1, 2] + np.array([-1.0, 2.0]) * scale[1, 2] - plain.embed(first)[0, 2]
    close(shown, [[x[1] + step * MIXING[2] for step in steps]])


def test_labels_outside_the_classes_and_continuous_conditions():
    vae = VAE(
        *networks.mlp(6, 2, hidden=8, conditions={"label": 3, "angle": (2,)}),
        likelihood=likelihoods.Bernoulli(),
    )
    batch = {
        "x": np.ones((4, 6), "f"),
        "label": np.array([0, 1, 2, 2]),
        "angle": rng.normal(size=(4, 2)).astype(np.float32),
    }
    angles = rng.normal(size=(5, 2)).astype(np.float32)
    grid = control.analogies(vae, batch, label=np.arange(5) % 3, angle=angles)
    for k in range(5):
        close(grid[:, k], control.transfer(vae, batch, label=k % 3, angle=angles[k]))
    with pytest.raises(ValueError, match=r"label in 0 \.\.\. 2.*Received: 3"):
        control.transfer(vae, batch, label=3, angle=angles[0])
    with pytest.raises(ValueError, match=r"one value of every condition.*'label': 2, 'angle': 5"):
        control.analogies(vae, batch, label=[0, 1], angle=angles)
