"""200 wrong command lines, put together at random: never a traceback, always a hint, the right exit code."""

import random

from keras_vae import data
from keras_vae.training import LIKELIHOODS, NETWORKS, OBJECTIVES, POSTERIORS, PRIORS

NUMBER, FRACTION, NAME, SWITCH = "number", "fraction", "name", "switch"
COMMANDS = {
    "train": {
        "--data": NAME, "--protocol": NAME, "--network": NAME, "--hidden": NUMBER, "--activation": NAME,
        "--latent-dim": NUMBER, "--likelihood": NAME, "--prior": NAME, "--num-components": NUMBER,
        "--objective": NAME, "--num-samples": NUMBER, "--beta": FRACTION, "--warm-up": NUMBER,
        "--epochs": NUMBER, "--batch-size": NUMBER, "--learning-rate": FRACTION, "--patience": NUMBER,
        "--seed": NUMBER, "--strategy": NAME, "--overwrite": SWITCH, "--jit": SWITCH,
    },
    "evaluate": {"--num-samples": NUMBER, "--split": NAME, "--limit": NUMBER},
    "generate": {"--num-samples": NUMBER, "--output": NAME},
    "reconstruct": {"--num-examples": NUMBER, "--split": NAME, "--output": NAME},
    "embed": {"--split": NAME, "--output": NAME},
    "info": {},
    "export": {
        "--format": NAME, "--quantization": NAME, "--batch-size": NUMBER, "--num-samples": NUMBER,
        "--overwrite": SWITCH,
    },
    "export-check": {},
    "demo": {"--minutes": FRACTION, "--epochs": NUMBER, "--num-samples": NUMBER, "--num-test": NUMBER},
}  # fmt: skip
NONSENSE = {
    NUMBER: ["", "many", "-7", "1.5", "1e3", "0x10", "nan", "٣٤٥x", "--", "7,"],
    FRACTION: ["", "much", "nan", "-inf", "-1", "1,5", "--"],
    NAME: [
        "",
        "no such thing",
        "[bold]x[/]",
        "🙂",
        "../..",
        "nul\tl",
        "a" * 300,
        "--help-me",
        "%s",
    ],
}
IN_RUN = {"evaluate", "generate", "reconstruct", "embed", "info", "export"}


def wrong(rng, folder, images):
    """One command line with at least one mistake, and the exit codes that are right for it."""
    command = rng.choice(list(COMMANDS))
    options = COMMANDS[command]
    mistakes = ["option", "argument", "place"]
    if options:
        mistakes += ["value"] * 4
    mistake = rng.choice(mistakes)
    words = [command]
    if command in IN_RUN or command == "export-check":
        words.append(str(folder / "not-a-run"))
    if command == "train" and mistake != "value":
        words += ["--data", str(images)]
    output = {"train": "run", "export": "out", "demo": "demo"}.get(command)
    if output:
        words += ["--output", str(folder / "not-a-run" if mistake == "place" else folder / output)]
    if mistake == "option":
        return [*words, f"--{rng.choice(['sample', 'lr', 'x', 'verbose-ly'])}", "3"], {2}
    if mistake == "argument":
        return [*words, "one-more", "and-another"], {2}
    if mistake == "place":
        return words, {1, 2}
    option = rng.choice([name for name, kind in options.items() if kind != SWITCH])
    return [*words, option, rng.choice(NONSENSE[options[option]])], {1, 2}


def test_two_hundred_mistakes(cli, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "not-a-run" / "notes.txt").write_text("mine")
    known = {*LIKELIHOODS, *NETWORKS, *PRIORS, *POSTERIORS, *OBJECTIVES, *data.PROTOCOLS}
    assert not known & set(NONSENSE[NAME])
    rng, codes = random.Random(0), []
    for _ in range(200):
        words, expected = wrong(rng, tmp_path, images)
        code, out, err = cli(*words)
        assert code in expected, (words, out, err)
        assert "Traceback" not in out + err, words
        assert "KERAS_VAE_DEBUG" not in err, (words, err)
        assert len(err.strip()) > 20, words
        codes.append(code)
    assert [path.name for path in tmp_path.iterdir()] == ["not-a-run"]
    assert (tmp_path / "not-a-run" / "notes.txt").read_text() == "mine"
    assert 0 not in codes
    assert codes.count(1) > 20
    assert codes.count(2) > 60
