"""The commands that generate with control, on runs with and without labels."""

import numpy as np
import pytest
from PIL import Image

from keras_vae import training
from keras_vae.applications import control

NAMES = np.array(["ant", "bee", "cat"])


def run_on(folder, condition, labels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 6, 6)).astype(np.uint8)
    np.savez(folder / "d.npz", x_train=images, y_train=labels)
    recipe = training.Recipe(
        data=str(folder / "d.npz"),
        protocol="grey",
        condition=condition,
        hidden=(8,),
        latent_dim=3,
        epochs=1,
        batch_size=16,
        jit_compile=False,
    )
    return training.train(recipe, folder / "run")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return run_on(tmp_path_factory.mktemp("labelled"), "label", NAMES[np.arange(90) % 3])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_on(tmp_path_factory.mktemp("plain"), None, np.arange(90) % 3)


@pytest.fixture
def on_run(cli, tmp_path):
    """Runs a command on a run: what it wrote, what it said; the file's name is the last word."""

    def run(command, run, *words, code=0):
        output = tmp_path / words[-1]
        received, out, err = cli(command, run.path, *words[:-1], "--output", output)
        assert received == code, err
        return output, out if not code else err

    return run


def close(path, expected):
    np.testing.assert_allclose(np.load(path), expected, atol=1e-6)


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_generate_one_class_by_number_and_by_name_and_all_in_rows(on_run, labelled, plain):
    expected = labelled.model.generate(5, 7, label=1)
    for label in ("1", "bee"):
        words = ("--label", label, "--num-samples", "5", "--seed", "7", "g.npy")
        close(on_run("generate", labelled, *words)[0], expected)
    of_all, said = on_run("generate", labelled, "--num-samples", "7", "--seed", "7", "a.npy")
    close(of_all, labelled.model.generate(9, 7, label=np.repeat([0, 1, 2], 3)))
    assert "9 samples" in said
    grid, _ = on_run("generate", labelled, "--num-samples", "12", "a.png")
    assert size_of(grid) == (2 * (4 * 8 + 2), 2 * (3 * 8 + 2))
    for label, hint in (("3", "0 to 2. Received: 3"), ("be", "Did you mean 'bee'")):
        path, said = on_run("generate", labelled, "--label", label, "no.png", code=2)
        assert hint in said
        assert not path.exists()
    assert "--condition label" in on_run("generate", plain, "--label", "1", "no.png", code=2)[1]


def test_transfer_shows_every_example_as_every_class(on_run, labelled, plain):
    written, said = on_run("transfer", labelled, "--num-examples", "4", "t.npy")
    batch = labelled.data.examples("test", 4)
    close(written, control.analogies(labelled.model, batch, label=[0, 1, 2]))
    assert "4 examples as 3 classes" in said
    picture, _ = on_run("transfer", labelled, "--num-examples", "4", "t.png")
    assert size_of(picture) == (2 * (10 + 6 + 3 * 8 + 2), 2 * (4 * 8 + 2))
    path, said = on_run("transfer", plain, "no.png", code=2)
    assert "no class to change" in said
    assert "--condition label" in said
    assert not path.exists()


def test_interpolate_between_pairs_of_one_class(on_run, labelled, plain):
    written, said = on_run(
        "interpolate", labelled, "--path", "spherical", "--num-pairs", "3", "--steps", "4", "i.npy"
    )
    batch = labelled.data.examples("test")
    first, last = control.pairs(labelled.model, batch, 3)
    np.testing.assert_array_equal(first["label"], last["label"])
    assert np.abs(first["x"] - last["x"]).max() > 0.1
    model, label = labelled.model, first["label"]
    close(written, model.interpolate(first, last, 4, "spherical", label=label))
    assert "3 spherical interpolations of 4 steps" in said
    x = plain.data.examples("test")
    written, _ = on_run("interpolate", plain, "--num-pairs", "2", "--steps", "3", "i.npy")
    close(written, plain.model.interpolate(x[0:4:2], x[1:4:2], 3))
    path, said = on_run("interpolate", plain, "--path", "curved", "i.png", code=2)
    assert "linear, spherical" in said
    assert not path.exists()


def test_traverse_as_an_array_and_an_animation(on_run, labelled):
    written, _ = on_run("traverse", labelled, "--steps", "5", "--reach", "2", "t.npy")
    batch = labelled.data.examples("test")
    close(written, control.traversals(labelled.model, batch, 8, np.linspace(-2, 2, 5)))
    animated, said = on_run("traverse", labelled, "--num-dims", "2", "--steps", "5", "t.gif")
    with Image.open(animated) as image:
        assert image.n_frames == 8
    assert "2 latent dimensions in 5 steps" in said
    assert "reach" in on_run("traverse", labelled, "--reach", "0", "no.gif", code=2)[1]
    assert ".gif animation" in on_run("traverse", labelled, "no.jpg", code=2)[1]


def test_reconstruct_and_embed_read_the_labels_too(on_run, labelled):
    batch = labelled.data.examples("test")
    close(on_run("reconstruct", labelled, "r.npy")[0], labelled.model.reconstruct(batch))
    with np.load(on_run("embed", labelled, "z.npz")[0]) as arrays:
        np.testing.assert_allclose(arrays["z"], labelled.model.embed(batch), atol=1e-6)
        assert list(arrays["labels"]) == list(labelled.data.test_labels)


def test_pairs_take_neighbours_of_one_class(labelled, plain):
    label = np.array([0, 1, 1, 2, 0, 0, 0, 2, 1])
    first, last = control.pairs(labelled.model, {"x": np.arange(9), "label": label}, 3)
    assert list(zip(first["x"], last["x"], strict=True)) == [(1, 2), (0, 4), (5, 6)]
    first, last = control.pairs(plain.model, np.arange(5), 8)
    assert list(zip(first, last, strict=True)) == [(0, 1), (2, 3)]
    with pytest.raises(ValueError, match=r"takes two examples.*Received: 1 examples"):
        control.pairs(plain.model, np.arange(1), 2)
