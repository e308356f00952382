"""A run folder: what a training run leaves behind, and what the other commands start from."""

import csv
import functools
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_vae import _files
from keras_vae.data import Splits
from keras_vae.models import EncoderDecoder, load_model
from keras_vae.training.recipe import Recipe


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; what was good before is kept."""

    def __init__(self, run: "Run", epoch: int, what: str):
        kept = (
            f"The best model so far is kept in {run.model_path}."
            if run.model_path.exists()
            else "No epoch was complete, so there is no model to keep."
        )
        super().__init__(
            f"Training diverged: {what} was NaN or infinite in epoch {epoch}. {kept} Values far from the size of 1 "
            "are better divided by their standard deviation first; else a lower learning rate, or a likelihood "
            "with a fixed scale, usually helps."
        )


# What the other commands read: no picture or table may take its place.
_KEPT = (
    "config.json",
    "model.keras",
    "history.csv",
    "evaluation",
    "evaluation.json",
    "log_likelihood.npy",
    "state",
    "tensorboard",
)


class Run:
    """A folder with `config.json`, `model.keras` (the best by the objective's monitor),
    `history.csv`, `state/` (to resume from), `tensorboard/`, pictures and `report.md`. That of a
    model whose prior was fitted afterwards has no history and no state.

    Args:
        path: an existing run folder.

    Raises:
        FileNotFoundError: where there is no such folder.
        ValueError: where the folder is not a run, or its config is damaged.
    """

    ENTRIES = (
        "model.keras",
        "history.csv",
        "evaluation",
        "evaluation.json",
        "log_likelihood.npy",
        "report.md",
        "learning_curves.png",
        "samples.png",
        "samples_before.png",
        "reconstructions.png",
        "anomalies.csv",
        "anomalies.png",
        "state",
        "tensorboard",
    )

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"There is no run folder {self.path}. `keras-vae train --output {self.path}` makes one."
            )
        self.config = _files.read_config(self.path, "run")
        try:
            self.recipe = Recipe.from_json(self.config["recipe"])
            data = self.config["data"]
            _ = data["name"] + data["protocol"], dict(data["sha256"]), dict(self.config["versions"])
            black, white = map(float, data["range"])
            self.value_range = black, white  # of pictures
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path / 'config.json'} is damaged ({type(error).__name__}: {error}). Expected what "
                "`keras-vae train` wrote."
            ) from error

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], recipe: Recipe, splits: Splits, *, overwrite=False
    ) -> "Run":
        """Makes the folder and its config; see `_files.claim_folder` for what is refused."""
        folder = _files.claim_folder(path, "run", overwrite=overwrite)
        config = {
            **_files.marker("run"),
            "recipe": recipe.to_json(),
            "data": {
                "name": splits.name,
                "protocol": splits.protocol,
                "range": splits.value_range,
                "sha256": splits.fingerprints,
            },
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }
        with _files.publishing(folder, cls.ENTRIES) as new:
            (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        return cls(folder)

    def check_outputs(
        self,
        *outputs: str | os.PathLike[str] | None,
        sources: Sequence[str | os.PathLike[str] | None] = (),
    ) -> None:
        """Raises `OSError` where a file cannot be written, or would take the place of what is needed: what the
        run is made of, the data it was trained on, what is to be read.

        Args:
            outputs: files to write; None is none.
            sources: files or folders to read; None, and names of data sets, are none.
        """
        for output in filter(None, outputs):
            _files.claim_file(output)
            path = Path(output).resolve()
            kept = [(self.path / name, "is a part of the run") for name in _KEPT]
            kept += [
                (Path(source), "holds data")
                for source in (self.recipe.data, *sources)
                if source is not None
            ]
            for place, why in kept:
                if place.exists() and path.is_relative_to(place.resolve()):
                    raise FileExistsError(
                        f"{output} was not written, since {place} {why}. Choose another place."
                    )

    @property
    def model_path(self) -> Path:
        return self.path / "model.keras"

    @functools.cached_property
    def model(self) -> EncoderDecoder:
        """The best model."""
        if not self.model_path.exists():
            raise FileNotFoundError(
                f"{self.path} holds no model.keras: no epoch was completed, or the file was taken away. "
                f"To train it: keras-vae train --resume --output {self.path}"
            )
        model = load_model(self.model_path)
        if not isinstance(model, EncoderDecoder):
            raise ValueError(
                f"{self.model_path} holds a {type(model).__name__}. Expected a keras_vae.VAE, or its like."
            )
        return model

    @property
    def model_sha256(self) -> str:
        """SHA-256 of model.keras, in hexadecimal: which model a number is of."""
        with self.model_path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def save_model(self, model: EncoderDecoder) -> None:
        with _files.replacing(self.model_path) as new:
            model.save(new)

    @functools.cached_property
    def data(self) -> Splits:
        """The data the run was trained on.

        Raises:
            ValueError: where the source gives other numbers now than it gave then.
        """
        splits = self.recipe.load_data()
        if splits.fingerprints != self.config["data"]["sha256"]:
            raise ValueError(
                f"The data {self.recipe.data!r} are not those that {self.path} was trained on: their SHA-256 "
                "differ. Numbers from them would not belong to this run."
            )
        return splits

    def write_history(self, epochs: list[int], history: dict[str, list[float]]) -> None:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["epoch", *history])
        rows.writerows(
            [epoch + 1, *map(repr, values)]
            for epoch, *values in zip(epochs, *history.values(), strict=True)
        )
        _files.write(self.path / "history.csv", text.getvalue())

    def history(self, terms: Iterable[str] = ()) -> dict[str, list[float]]:
        """The columns of history.csv, one value per epoch; empty before the end of the first.

        Args:
            terms: columns that have to be there, in training and in validation.
        """
        path = self.path / "history.csv"
        if not path.exists():
            return {}
        try:
            header, *rows = csv.reader(path.read_text().splitlines())
            columns = zip(*((float(cell) for cell in row) for row in rows), strict=True)
            history = dict(zip(header, map(list, columns), strict=True))
            if missing := {"epoch", *terms, *(f"val_{term}" for term in terms)} - set(history):
                raise ValueError(f"it has no column {', '.join(sorted(missing))}")
            return history
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path} is damaged: {error}. --resume writes it anew.") from error
