"""keras_vae.beam: numbers, conservation of rows, crashes, and the same output from any runner."""

import hashlib
import json
import math
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from consumers.conftest import need, run

need_beam = pytest.fixture(scope="module", autouse=True)(lambda: need(packages=("apache_beam",)))

EVENT = (2, 4, 1)
SEED = 3
TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
RETRYING = ("--runner=BundleBasedDirectRunner",)  # tries a bundle four times

# A job of its own process, whose worker crashes at row 50,000 the first time.
CRASHING = """
import os, signal, sys
import apache_beam
from keras_vae import beam

how, marker, model, output, pattern, *options = sys.argv[1:]

class Crashing(beam.Score):
    def expand(self, blocks):
        return super().expand(blocks | apache_beam.Map(crash))

def crash(block):
    if 50_000 in block["number"].to_pylist() and not os.path.exists(marker):
        open(marker, "w").close()
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("out of luck")
    return block

source = beam.Read(pattern, names=["x", "number"])
try:
    print(*beam.run(Crashing(model, 3), output, source, options))
except RuntimeError as error:
    sys.exit(f"RuntimeError: {error}")
"""


def vae_of(encoder, decoder, likelihood=None):
    from keras_vae import VAE, likelihoods

    vae = VAE(encoder, decoder, likelihood=likelihood or likelihoods.Bernoulli(event_rank=3))
    rng = np.random.default_rng(0)
    for network in (vae.encoder, vae.decoder):
        network.set_weights([w + 0.3 * rng.normal(size=w.shape) for w in network.get_weights()])
    return vae


@pytest.fixture(scope="module")
def small():
    from keras_vae import networks

    keras.utils.set_random_seed(0)
    return vae_of(*networks.mlp(EVENT, 2, hidden=16))


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """A folder as `keras-vae export` makes it."""
    from keras_vae.export import saved_model

    folder = tmp_path_factory.mktemp("exported")
    saved_model(small, folder / "saved_model")
    return folder


def binary(num_rows, seed=0):
    return (np.random.default_rng(seed).random((num_rows, *EVENT)) < 0.4).astype(np.float32)


def write(path, row_group_size=None, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)


def lists(x):
    return list(x.reshape(len(x), -1))


def read(folder, kind="results"):
    """The rows that a job wrote, in order, by column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(folder.glob(f"{kind}-*.parquet"))
    assert files
    table = pa.concat_tables([pq.read_table(file) for file in files])
    order = [(name, "ascending") for name in ("file", "row") if name in table.column_names]
    return table.sort_by(order).to_pydict()


def block_seed(file, row, seed=SEED):
    """What the documentation says: a hash of the seed, the name of the file and the first row."""
    digest = hashlib.blake2b(f"{seed}/{file}/{row}".encode(), digest_size=8).digest()
    return np.array([int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4)])


def scored(vae, x, seed):
    from keras_vae.export import endpoints

    return endpoints(vae, ["score"])["score"](
        x=tf.constant(x), seed=tf.constant(seed.astype(np.int32))
    )


@pytest.fixture
def parquet(tmp_path):
    """2,500 rows in two files, in row groups of 700; their pattern, and the rows."""
    x = binary(2500)
    for number, part in enumerate(np.split(x, [1100])):
        ids = [number * 10_000 + i for i in range(len(part))]
        write(tmp_path / f"data/{number}.parquet", 700, id=ids, x=lists(part), other=ids)
    return str(tmp_path / "data/*.parquet"), x


def test_embeddings_are_those_of_the_model(small, model, parquet, tmp_path):
    from keras_vae import beam

    pattern, x = parquet
    counts = beam.run(beam.Embed(model), tmp_path / "out", beam.Read(pattern))
    assert counts == (2500, 2500, 0)
    assert json.loads((tmp_path / "out/counts.json").read_text()) == counts._asdict()
    rows = read(tmp_path / "out")
    assert set(rows) == {"file", "row", "id", "location", "stddev"}
    assert rows["row"] == [*range(1100), *range(1400)]
    assert rows["id"] == [*range(1100), *range(10_000, 11_400)]
    assert {file.rsplit("/", 1)[1] for file in rows["file"]} == {"0.parquet", "1.parquet"}
    q, _ = small.infer(x)
    np.testing.assert_allclose(rows["location"], q.mean(), atol=1e-5)
    np.testing.assert_allclose(rows["stddev"], q.stddev(), atol=1e-5)


def test_scores_are_those_of_the_model_with_the_seed_of_the_block(small, model, parquet, tmp_path):
    from keras_vae import beam

    pattern, x = parquet
    beam.run(beam.Score(model, SEED), tmp_path / "out", beam.Read(pattern, block_rows=500))
    rows = read(tmp_path / "out")
    cuts = {"0.parquet": (0, 500, 700, 1100), "1.parquet": (0, 500, 700, 1200, 1400)}
    for file, first in (("0.parquet", 0), ("1.parquet", 1100)):
        for begin, end in zip(cuts[file], cuts[file][1:], strict=False):
            here = slice(first + begin, first + end)
            expected = scored(small, x[here], block_seed(file, begin))
            for name, values in expected.items():
                np.testing.assert_allclose(rows[name][here], values, rtol=1e-5, atol=1e-5)
    q, _ = small.infer(x)
    rate = 0.5 * np.sum(q.mean() ** 2 + q.stddev() ** 2 - 1 - 2 * np.log(q.stddev()), axis=1)
    np.testing.assert_allclose(rows["rate"], rate, rtol=1e-4)


def test_samples_are_those_of_the_model_whatever_their_number(small, model, tmp_path):
    from keras_vae import beam

    for number in (1500, 2500):
        counts = beam.run(beam.Generate(model, number, seed=7), tmp_path / str(number))
        assert counts == (number, number, 0)
    rows = read(tmp_path / "2500")
    assert rows["row"] == [*range(2500)]
    mean = np.reshape(rows["mean"], (-1, *EVENT))
    np.testing.assert_allclose(mean[:1000], small.generate(1000, seed=7), atol=1e-5)
    for row in (1000, 2000):
        expected = small.generate(1000, seed=block_seed("", row, 7))[: 2500 - row]
        np.testing.assert_allclose(mean[row : row + 1000], expected, atol=1e-5)
    assert read(tmp_path / "1500")["mean"] == rows["mean"][:1500]
    assert len({tuple(row) for row in rows["mean"]}) == 2500


def test_other_signatures_and_conditions(tmp_path):
    from keras_vae import beam, networks
    from keras_vae.export import saved_model

    _, mlp = networks.mlp(EVENT, 3, hidden=16)
    encoder, _ = networks.mlp(EVENT, 2, hidden=16)
    z, y = keras.Input((2,), name="z"), keras.Input((1,), name="y", dtype="int32")
    both = keras.layers.Concatenate()([z, keras.ops.cast(y, "float32")])
    vae = vae_of(encoder, keras.Model([z, y], mlp(both)))
    folder = saved_model(vae, tmp_path / "vae")
    x, y = binary(30), np.arange(30, dtype=np.int32)[:, None] % 3
    write(tmp_path / "data.parquet", x=lists(x), y=y[:, 0].astype(np.float64))
    source = beam.Read(str(tmp_path / "data.parquet"), names=["x", "y"])
    beam.run(beam.Apply(folder, "reconstruct"), tmp_path / "a", source)
    expected = vae.reconstruct({"x": x, "y": y})
    np.testing.assert_allclose(read(tmp_path / "a")["mean"], expected.reshape(30, -1), atol=1e-5)
    with pytest.raises(ValueError, match=r"conditions \['y'\]"):
        beam.Generate(folder, 10)
    beam.run(beam.Apply(folder, "generate", SEED), tmp_path / "b", source)
    expected = vae.generate(30, seed=block_seed("data.parquet", 0), y=y)
    np.testing.assert_allclose(read(tmp_path / "b")["mean"], expected.reshape(30, -1), atol=1e-5)
    write(tmp_path / "half.parquet", x=lists(x[:2]), y=[1.0, 1.5])
    source = beam.Read(str(tmp_path / "half.parquet"), names=["x", "y"])
    assert beam.run(beam.Apply(folder, "reconstruct"), tmp_path / "c", source) == (2, 1, 1)


def test_npy_files_are_read_in_blocks(small, model, tmp_path):
    from keras_vae import beam

    dtypes = ("bool", "uint8", "float16", "<f4", ">f8", "int64")
    x = binary(2300)
    for number, dtype in enumerate(dtypes):
        np.save(tmp_path / f"{number}.npy", x.astype(dtype))
        np.save(tmp_path / f"{number}-flat.npy", x.reshape(2300, 8).astype(dtype))
    source = beam.Read(str(tmp_path / "*.npy"))
    total = 2 * len(dtypes) * 2300
    assert beam.run(beam.Embed(model), tmp_path / "out", source) == (total, total, 0)
    rows = read(tmp_path / "out")
    assert rows["row"] == [*range(2300)] * (2 * len(dtypes))
    found = np.reshape(rows["location"], (-1, 2300, 2))
    np.testing.assert_allclose(found[0], small.infer(x)[0].mean(), atol=1e-5)
    assert (found == found[0]).all()


def test_columns_of_every_kind_of_list_and_number(model):
    import pyarrow as pa

    from keras_vae import beam

    signature = beam.Signature(model, "encode")
    loaded, x = signature.load_model(), binary(5).reshape(5, 8)
    found = []
    for number in (pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()):
        for kind in (pa.list_(number), pa.list_(number, 8), pa.large_list(number)):
            items = x.astype(bool if number == pa.bool_() else np.float16).tolist()
            if pa.types.is_integer(number):
                items = x.astype(int).tolist()
            block = pa.table({"row": range(5), "x": pa.array(items, kind)})
            ((rows, rejected),) = signature.run_inference(block, loaded)
            assert len(rejected) == 0
            found.append(rows["location"].to_pylist())
    assert all(each == found[0] for each in found)


def test_a_category_that_is_none_harms_no_other_row(tmp_path):
    """It is rejected before the likelihood looks it up, which would fail for the whole block."""
    import pyarrow as pa

    from keras_vae import beam, likelihoods, networks
    from keras_vae.export import saved_model

    likelihood = likelihoods.Categorical(num_categories=3, event_rank=3)
    vae = vae_of(*networks.mlp(EVENT, 2, hidden=16, likelihood=likelihood), likelihood)
    signature = beam.Signature(saved_model(vae, tmp_path / "vae"), "score", SEED)
    x = 2 * binary(4)
    x[1, 0, 0, 0], x[2, 0, 0, 0] = 7, -1
    block = pa.table({"row": range(1000, 1004), "x": lists(x)})
    ((rows, rejected),) = signature.run_inference(block, signature.load_model())
    assert rejected["row"].to_pylist() == [1001, 1002]
    assert rows.column_names == ["row", "distortion", "elbo", "rate"]
    x[[1, 2]] = 0
    expected = scored(vae, x, block_seed("", 1000))["elbo"].numpy()[[0, 3]]
    np.testing.assert_allclose(rows["elbo"], expected, rtol=1e-5)


BAD = {
    17: (None, "x is null"),
    999: ([0.0] * 7, "x has 7 numbers; expected 8"),
    1000: ([], "x has 0 numbers; expected 8"),
    25_000: (
        [0.0] * 7 + [math.nan],
        "x holds a null, or a number that is NaN, infinite or too large",
    ),
    50_001: ([math.inf] * 8, "x holds a null, or a number that is NaN, infinite or too large"),
    74_999: ([1.0] * 7 + [None], "x holds a null, or a number that is NaN, infinite or too large"),
    80_000: ([1e300] * 8, "x holds a null, or a number that is NaN, infinite or too large"),
    99_999: ([1.0] * 7 + [0.5], "x is outside the likelihood's support"),
}


@pytest.fixture(scope="module")
def many(model, tmp_path_factory):
    """100,000 rows in four files, 8 of them bad, and two files of bad rows; what a quiet job gives."""
    from keras_vae import beam

    folder = tmp_path_factory.mktemp("many")
    rows = lists(binary(100_000).astype(np.float64))
    for row, (value, _) in BAD.items():
        rows[row] = value
    for part in range(4):
        here = slice(25_000 * part, 25_000 * (part + 1))
        numbers = list(range(here.start, here.stop))
        ids = [f"row {number}" for number in numbers]
        write(folder / f"data/{part}.parquet", 6_500, id=ids, x=rows[here], number=numbers)
    ten = {"id": [f"ten {i}" for i in range(10)], "number": [-1] * 10}
    write(folder / "data/text.parquet", x=["text"] * 10, **ten)
    write(folder / "data/none.parquet", **ten)
    pattern = str(folder / "data/*.parquet")
    counts = beam.run(beam.Score(model, SEED), folder / "quiet", beam.Read(pattern))
    assert counts == (100_020, 99_992, 28)
    return pattern, folder / "quiet"


def test_bad_rows_are_kept_apart_with_the_reason(small, many):
    pattern, quiet = many
    rows, rejected = read(quiet), read(quiet, "rejected")
    assert sorted(rows["id"]) == sorted(f"row {i}" for i in range(100_000) if i not in BAD)
    reasons = dict(
        zip(zip(rejected["file"], rejected["row"], strict=True), rejected["reason"], strict=True)
    )
    folder = pattern.removesuffix("*.parquet")
    expected = {
        (f"{folder}{row // 25_000}.parquet", row % 25_000): why for row, (_, why) in BAD.items()
    }
    for row in range(10):
        expected[f"{folder}text.parquet", row] = "x is of type string; expected a list of 8 numbers"
        expected[f"{folder}none.parquet", row] = "there is no column x"
    assert reasons == expected
    assert set(rejected) == {"file", "row", "id", "reason"}
    # A bad row changes nothing for its neighbours.
    block = binary(100_000)[:1000]
    block[[17, 999]] = 0
    expected = np.delete(scored(small, block, block_seed("0.parquet", 0))["elbo"], [17, 999])
    np.testing.assert_allclose(rows["elbo"][:998], expected, rtol=1e-5, atol=1e-5)


def crash(how, model, output, pattern, marker, *options, code=0):
    words = (sys.executable, "-c", CRASHING, how, marker, model, output, pattern, *options)
    return run(*words, code=code, text=True)


def test_a_block_that_fails_is_tried_again(model, many, tmp_path):
    pattern, quiet = many
    marker, output = tmp_path / "marker", tmp_path / "out"
    done = crash("raised", model, output, pattern, marker, *RETRYING)
    assert marker.exists()
    assert done.stdout.split() == ["100020", "99992", "28"]
    assert read(output) == read(quiet)
    assert read(output, "rejected") == read(quiet, "rejected")


def test_a_job_whose_worker_is_killed_leaves_nothing_and_gives_the_same_again(
    model, many, tmp_path
):
    pattern, quiet = many
    marker, output = tmp_path / "marker", tmp_path / "out"
    done = crash("killed", model, output, pattern, marker, *TWO_PROCESSES, code=1)
    assert marker.exists()
    assert f"RuntimeError: The job failed; nothing was written to {output}." in done.stderr
    assert list(output.iterdir()) == []
    crash("killed", model, output, pattern, marker, *TWO_PROCESSES)
    assert len(list(output.glob("results-*.parquet"))) > 1
    assert read(output) == read(quiet)
    assert read(output, "rejected") == read(quiet, "rejected")


def test_lost_rows_are_noticed(model, parquet, tmp_path):
    import apache_beam

    from keras_vae import beam

    class Losing(beam.Embed):
        def expand(self, blocks):
            return super().expand(blocks | apache_beam.Filter(lambda block: len(block) > 400))

    with pytest.raises(RuntimeError, match="lost or doubled"):
        beam.run(Losing(model), tmp_path / "out", beam.Read(parquet[0]))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_done_is_said(model, parquet, tmp_path):
    from keras_vae import beam

    pattern, _ = parquet
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no model")
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures={"f": module.f})
    for path, error, message in (
        (tmp_path / "nowhere", FileNotFoundError, "no SavedModel in .*nowhere"),
        (tmp_path / "empty", FileNotFoundError, "no SavedModel in .*empty"),
        (broken, ValueError, "cannot be read as a SavedModel"),
        (tmp_path / "foreign", ValueError, r"no signature 'score'.*\['f'\]"),
    ):
        with pytest.raises(error, match=message):
            beam.Score(path)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(binary(3).reshape(3, 8)))
    np.save(tmp_path / "short.npy", binary(3))
    content = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(content[:-1])
    (tmp_path / "no.npy").write_bytes(b"no array")
    (tmp_path / "no.parquet").write_bytes(b"no table")
    write(tmp_path / "ids/a.parquet", id=["a"], x=[[0.0] * 8])
    write(tmp_path / "ids/b.parquet", id=[1], x=[[0.0] * 8])
    for name, error, message in (
        ("nothing-*", FileNotFoundError, "No file matches"),
        ("ids", FileNotFoundError, "No file matches.*names of files"),
        ("text.npy", ValueError, "cannot be read in blocks.*<U1"),
        ("fortran.npy", ValueError, "in Fortran order"),
        ("short.npy", ValueError, "another length"),
        ("no.npy", ValueError, "not an .npy file"),
        ("no.parquet", ValueError, "neither a Parquet nor an .npy file"),
        ("ids/*", ValueError, "string in .*a.parquet, int64 in .*b.parquet"),
    ):
        with pytest.raises(error, match=message):
            beam.Read(str(tmp_path / name))
    (tmp_path / "empty/mine").write_text("kept")
    with pytest.raises(FileExistsError, match="empty/mine"):
        beam.run(beam.Embed(model), tmp_path / "empty", beam.Read(pattern))
    with pytest.raises(ValueError, match="for wildcards"):
        beam.run(beam.Embed(model), tmp_path / "out[1]", beam.Read(pattern))
    with pytest.raises(OSError, match="mine"):
        beam.run(beam.Embed(model), tmp_path / "empty/mine", beam.Read(pattern))
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["mine"]
    assert (tmp_path / "empty/mine").read_text() == "kept"


def test_the_command_line(model, small, parquet, tmp_path, monkeypatch, capsys):
    import keras_vae_cli

    pattern, x = parquet
    out = tmp_path / "out"

    def cli(*words):
        monkeypatch.setattr(sys, "argv", ["keras-vae", "beam", *map(str, words)])
        code = 0
        try:
            keras_vae_cli.main()
        except SystemExit as exit:
            code = exit.code
        return code or 0, *capsys.readouterr()

    words = ("score", "--model", model, "--input", pattern, "--seed", SEED, "--output", out)
    code, shown, _ = cli(*words, "--block-rows", 500)
    assert code == 0
    assert shown.split()[:7] == ["rows", "read", "2,500", "accepted", "2,500", "rejected", "0"]
    expected = scored(small, x[:500], block_seed("0.parquet", 0))["elbo"]
    np.testing.assert_allclose(read(out)["elbo"][:500], expected, rtol=1e-5, atol=1e-5)
    code, _, error = cli(*words)
    assert code == 1
    assert error.startswith("Error: ")
    assert "is not empty" in error
    assert cli("score", "--modell", model)[0] == 2
    arguments = ("--model", model, "--output", tmp_path / "a")
    assert cli("generate", *arguments, "--num-samples", 5, "--", "--direct_num_workers=1")[0] == 0
    assert len(read(tmp_path / "a")["mean"]) == 5
    assert cli("embed", "--model", model, "--input", pattern, "--output", tmp_path / "b")[0] == 0
    assert len(read(tmp_path / "b")["location"]) == 2500


def test_an_unfinished_job_is_in_nobodys_way(model, tmp_path):
    from keras_vae import beam

    half = tmp_path / "out/.unfinished-0123abcd/results-00000-of-00009.parquet"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    assert beam.run(beam.Generate(model, 5), tmp_path / "out") == (5, 5, 0)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".unfinished-0123abcd", "counts.json", "results-00000-of-00001.parquet"}
    assert half.read_text() == "half", "it may be another job's that goes on"


def test_what_cannot_be_published_whole_is_not_published(model, tmp_path, monkeypatch):
    from apache_beam.io.filesystems import FileSystems

    from keras_vae import beam

    create = FileSystems.create

    def full(path, *args, **kwargs):
        if path.endswith("counts.json"):
            raise OSError("No space left on device")
        return create(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystems, "create", full)
        with pytest.raises(OSError, match="No space left"):
            beam.run(beam.Generate(model, 5), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*"))
    assert beam.run(beam.Generate(model, 5), tmp_path / "out") == (5, 5, 0)
