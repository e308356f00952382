"""The command line: the whole road on small data, and one clear line for every mistake."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import keras_vae_cli
from keras_vae.pictures import latent_map


def size_of(path):
    with Image.open(path) as image:
        return image.size


SMALL = (
    "--protocol",
    "dynamic",
    "--hidden",
    "12",
    "--latent-dim",
    "3",
    "--batch-size",
    "24",
    "--no-jit",
)


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """A trained run folder, made by the command."""
    path = tmp_path_factory.mktemp("runs") / "a"
    command = ["train", "--data", str(images), "--epochs", "2", *SMALL, "--output", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["keras-vae", *command])
        with pytest.raises(SystemExit) as exit:
            keras_vae_cli.main()
        assert not exit.value.code
    return path


def test_help_answers_without_tensorflow():
    """Help for every command, and no import of TensorFlow on the way."""
    script = (
        "import sys, keras_vae_cli\n"
        "sys.argv = ['keras-vae', '--help']\n"
        "try: keras_vae_cli.main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for command in (
        "train",
        "evaluate",
        "generate",
        "reconstruct",
        "embed",
        "info",
        "export",
        "demo",
    ):
        assert command in result.stdout


def test_names_in_the_help_are_those_that_work(cli):
    from keras_vae.training import LIKELIHOODS, NETWORKS, OBJECTIVES, POSTERIORS, PRIORS

    _, out, _ = cli("train", "--help")
    for name in (*LIKELIHOODS, *NETWORKS, *PRIORS, *POSTERIORS, *OBJECTIVES):
        assert name in out


def test_evaluate_reports_and_records(cli, run):
    code, out, _ = cli("evaluate", run, "--num-samples", 50, "--limit", 20)
    assert code == 0
    record = json.loads((run / "evaluation.json").read_text())
    assert record["num_samples"] == 50
    assert record["num_examples"] == 20
    assert f"{-record['log_likelihood']:.2f}" in out
    assert f"active units: {record['active_units']} of 3" in out
    assert record["bits_per_dim"] == pytest.approx(-record["log_likelihood"] / np.log(2) / 64)
    again = cli("evaluate", run, "--num-samples", 50, "--limit", 20)
    assert (
        json.loads((run / "evaluation.json").read_text())["log_likelihood"]
        == record["log_likelihood"]
    )
    assert again[0] == 0


def test_a_single_example_has_no_error_bar_and_a_run_that_cannot_be_written_shows_its_numbers(
    cli, run, monkeypatch
):
    code, out, _ = cli("evaluate", run, "--num-samples", 1, "--limit", 1)
    assert code == 0
    assert "nan" not in out.partition("log p(x) =")[0]  # the table
    text = (run / "evaluation.json").read_text()
    assert "NaN" not in text  # which is no JSON
    record = json.loads(text)
    assert record["standard_error"] is None
    assert record["bits_per_dim_standard_error"] is None
    assert record["monte_carlo_error"] is None

    def refuse(path, content):
        raise PermissionError(f"{path} is on a disc that is read-only")

    monkeypatch.setattr("keras_vae._files.write", refuse)
    code, out, err = cli("evaluate", run, "--num-samples", 50, "--limit", 9)
    assert code == 1
    assert "read-only" in err
    assert "9 examples" in out


def test_generate_gives_the_same_bytes_for_the_same_seed(cli, run, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        code, *_ = cli(
            "generate",
            run,
            "--num-samples",
            9,
            "--seed",
            seed,
            "--output",
            tmp_path / f"{name}.png",
        )
        assert code == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    assert size_of(tmp_path / "a.png") == (2 * (3 * 10 + 2), 2 * (3 * 10 + 2))
    cli("generate", run, "--num-samples", 9, "--seed", 7, "--output", tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (9, 8, 8, 1)


def test_reconstruct_embed_info(cli, run, tmp_path):
    assert cli("reconstruct", run, "--num-examples", 8, "--output", tmp_path / "r.png")[0] == 0
    assert size_of(tmp_path / "r.png") == (2 * (8 * 10 + 2), 2 * (2 * 10 + 2))
    assert cli("embed", run, "--output", tmp_path / "z.npz")[0] == 0
    with np.load(tmp_path / "z.npz") as arrays:
        assert arrays["z"].shape == (30, 3)
    assert cli("embed", run, "--output", tmp_path / "map.png")[0] == 0
    latent_map(tmp_path / "named.png", np.eye(3), np.array([0.0, np.nan, 1.0]))
    latent_map(tmp_path / "named.png", np.zeros((3, 2)))
    latent_map(tmp_path / "named.png", np.eye(3), np.array(["ant", "bee", "ant"]))
    assert size_of(tmp_path / "named.png")[0] > 300
    assert size_of(tmp_path / "map.png")[0] > 300
    code, out, _ = cli("info", run)
    assert code == 0
    for words in (
        "dynamic",
        "Bernoulli(event_rank=3)",
        "StandardNormal",
        "best epoch",
        "(8, 8, 1)",
    ):
        assert words in out


def test_export_writes_what_is_asked_and_shows_how_far_it_is(cli, run, tmp_path):
    code, out, _ = cli("export", run, "--output", tmp_path / "exported")
    assert code == 0
    assert (tmp_path / "exported" / "saved_model" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "exported" / "model.tflite").exists()
    assert "LiteRT" in out
    assert "mean difference" in out
    everything = tmp_path / "everything"
    options = ("--format", "all", "--quantization", "dynamic_int8", "--output", everything)
    code, out, err = cli("export", run, *options)
    assert code == 0, err
    assert {p.name for p in everything.iterdir()} == {
        "config.json",
        "model_dynamic_int8.tflite",
        "onnx",
        "reference.npz",
        "saved_model",
    }
    assert " nats" in out
    code, out, _ = cli("export-check", everything)
    assert code == 0
    assert all(runtime in out for runtime in ("TensorFlow", "LiteRT", "ONNX Runtime"))
    code, _, err = cli("export", run, "--output", tmp_path / "exported")
    assert code == 1
    assert "earlier result" in err
    again = ("--format", "saved_model", "--output", tmp_path / "exported", "--overwrite")
    assert cli("export", run, *again)[0] == 0
    assert not (tmp_path / "exported" / "model.tflite").exists()
    assert cli("export", run, "--output", run, "--overwrite")[0] == 1, (
        "a run is not replaced by an export"
    )
    assert (run / "model.keras").exists()


def test_paths_are_printed_as_they_are_and_data_are_not_needed(cli, run, tmp_path):
    """Brackets are no markup; a float export takes nothing from the data, which may be gone."""
    copy = tmp_path / "[bold]run[/]"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["recipe"]["data"] = str(tmp_path / "gone.npy")
    (copy / "config.json").write_text(json.dumps(config))
    code, out, err = cli("export", copy, "--format", "tflite", "--output", tmp_path / "[red]out")
    assert code == 0, err
    assert f"written: {tmp_path / '[red]out'}" in out
    assert "[bold]run" in "".join(cli("info", copy)[1].split())
    code, _, err = cli("evaluate", copy)
    assert code == 1
    assert "gone.npy" in err


def test_damage_is_no_error_of_usage_and_warnings_are_one_line(cli, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "model.keras").write_bytes(b"junk")
    for words in (("generate", copy, "--output", tmp_path / "g.png"), ("info", copy)):
        code, _, err = cli(*words)
        assert code == 1
        assert "model.keras cannot be loaded" in err
    shutil.copytree(run, copy, dirs_exist_ok=True)
    newest = sorted((copy / "state").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = cli("train", "--resume", "--output", copy)
    assert code == 0
    assert f"Warning: {newest} is damaged; falling back to the state before it." in err
    assert "loop.py" not in err


def test_resume_of_a_finished_run_changes_nothing(cli, run):
    before = (run / "model.keras").read_bytes(), (run / "history.csv").read_bytes()
    code, out, _ = cli("train", "--resume", "--output", run)
    assert code == 0
    assert "resuming after epoch 2 of 2" in out
    assert ((run / "model.keras").read_bytes(), (run / "history.csv").read_bytes()) == before


def test_likelihoods_and_objectives_by_name(cli, images, tmp_path):
    words = ("train", "--data", images, "--epochs", 1, *SMALL[2:], "--output", tmp_path / "run")
    code, _, err = cli(
        *words, "--protocol", "grey", "--likelihood", "shared-scale-normal", "--objective", "iwae",
        "--num-samples", 3, "--prior", "mixture", "--network", "conv",
    )  # fmt: skip
    assert code == 0, err
    code, out, _ = cli("info", tmp_path / "run")
    assert "IWAE(num_samples=3)" in out
    assert "NormalMixture" in out
    assert cli("generate", tmp_path / "run", "--output", tmp_path / "g.png")[0] == 0


def mistakes(images, run, folder):
    """Command lines, their exit codes, and words that the message has to hold."""
    out = ("--output", folder / "new")
    broken = folder / "broken"
    broken.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (broken / f"{name}-ubyte").write_bytes(b"\x00\x00\x08\x03\x00\x00")
    nan = folder / "nan.npy"
    np.save(nan, np.full((50, 4), np.nan, np.float32))
    empty = folder / "empty.npy"
    np.save(empty, np.zeros((0, 4), np.float32))
    return [
        (("train",), 2, "--output"),
        (("train", "--epochs", "many", *out), 2, "epochs"),
        (("train", "--hidden", "a,b", *out), 2, "512,256"),
        (("trian", *out), 2, "train"),
        (("train", "--resume", "--epochs", "9", "--output", run), 2, "--epochs"),
        (("train", "--data", "mnits", *out), 1, "mnist"),
        (("train", "--data", folder / "nowhere.npy", *out), 1, "nowhere.npy"),
        (("train", "--data", broken, *out), 1, "train-images-idx3-ubyte"),
        (("train", "--data", nan, "--batch-size", "10", *out), 1, "NaN"),
        (("train", "--data", empty, *out), 1, "empty"),
        (("train", "--data", images, "--batch-size", "1000", *out), 1, "1,000"),
        (("train", "--data", images, "--protocol", "gray", *out), 1, "grey"),
        (("train", "--data", images, "--likelihood", "bernoulli", *out), 1, "dynamic"),
        (("train", "--data", images, "--likelihood", "bernuli", *out), 2, "bernoulli"),
        (("train", "--data", images, "--latent-dim", "0", *out), 2, "--latent-dim"),
        (("train", "--data", images, "--num-samples", "9", *out), 2, "iwae"),
        (("train", "--data", images, "--beta", "nan", *out), 2, "beta"),
        (("train", "--data", "", *out), 1, "empty"),
        (("train", "--data", images, "--strategy", "mirror", *out), 2, "mirrored"),
        (("train", "--data", images, "--output", folder), 1, "did not write"),
        (("train", "--data", images, *SMALL, "--output", run), 1, "--resume"),
        (("train", "--resume", *out), 1, "no run folder"),
        (("evaluate", folder / "nowhere"), 1, "no run folder"),
        (("evaluate", folder), 1, "not a run folder"),
        (("evaluate", run, "--num-samples", "0"), 2, "--num-samples"),
        (("evaluate", run, "--split", "tests"), 2, "test"),
        (("evaluate", run, "--limit", "-3"), 2, "--limit"),
        (("generate", run, "--output", folder / "g.gif"), 2, ".png"),
        (("reconstruct", run, "--split", "tset", "--output", folder / "g.png"), 2, "test"),
        (("demo", "--epochs", "0", *out), 2, "epochs"),
        (("demo", "--num-test", "10001", *out), 2, "10,000"),
        (("train", "--seed", 2**63, *out), 2, "--seed"),
        (("generate", run, "--seed", 2**64, "--output", folder / "g.png"), 2, "--seed"),
        (("demo", "--minutes", "nan", *out), 2, "minutes"),
        (("generate", run, "--num-samples", "0", "--output", folder / "g.png"), 2, "num-samples"),
        (("embed", run, "--output", folder / "z.csv"), 2, ".npz"),
        (("export", run, "--output", folder), 1, "did not write"),
        (("export", run, "--format", "tflight", *out), 2, "tflite"),
        (("export", run, "--quantization", "int16", *out), 2, "int8"),
        (("export", run, "--batch-size", "-1", *out), 2, "batch-size"),
        (("export-check", folder), 1, "not an export"),
        (("export-check", run), 1, "not an export"),
        (("demo", "--output", run), 1, "Choose another folder"),
        (("demo", "--output", folder), 1, "did not write"),
    ]


def test_every_mistake_has_its_line_and_leaves_nothing_behind(cli, images, run, tmp_path):
    listed = mistakes(images, run, tmp_path)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    kept = (run / "model.keras").read_bytes()
    for words, expected, hint in listed:
        code, out, err = cli(*words)
        assert code == expected, (words, out, err)
        assert hint in err, (words, err)
        assert "Traceback" not in err, words
    after = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    assert after == before
    assert (run / "model.keras").read_bytes() == kept


def test_a_folder_that_cannot_be_written_to_is_named(cli, images, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder would have to be")
    code, _, err = cli("train", "--data", images, *SMALL, "--output", blocked / "run")
    assert code == 1
    assert "blocked" in err


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(cli, images, tmp_path, monkeypatch):
    from keras_vae.training import callbacks

    def stop(self, batch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.StopAtNaN, "on_train_batch_end", stop)
    code, out, _ = cli(
        "train", "--data", images, "--epochs", 2, *SMALL, "--output", tmp_path / "run"
    )
    assert code == 130
    assert "--resume --output" in out
    assert (tmp_path / "run" / "model.keras").exists()


def test_beam_says_what_to_install(cli, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # cannot be imported
    for name in [name for name in sys.modules if name.startswith("keras_vae.beam")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("keras_vae.beam", raising=False)
    words = ("generate", "--model", tmp_path, "--output", tmp_path / "out", "--num-samples", 1)
    code, _, error = cli("beam", *words)
    assert (code, error.count("\n")) == (1, 1)
    assert "pip install 'keras-vae[beam]'" in error
    assert cli("beam", "generate", "--help")[0] == 0
