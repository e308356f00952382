"""All that can be said of a finished run: tables, words and plots."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_vae import _files, pictures, reports
from keras_vae.applications import control
from keras_vae.applications.sampled_runs import feature_space, run_quality, why_no_quality
from keras_vae.evaluation import (
    CollapseReport,
    FeatureSpace,
    SampleQuality,
    Surgery,
    collapse_report,
    disentanglement,
    surgery,
)
from keras_vae.models import need_vae, num_rows, x_of
from keras_vae.training import Run
from keras_vae.training.evaluating import Evaluation, evaluate_run
from keras_vae.training.results import examples, some

__all__ = ["WholeEvaluation", "evaluate_whole"]

_SURGERY, _COLLAPSE, _COMPARED, _SCORED = 5000, 1000, 5000, 10_000  # examples at most
_PICTURES = (
    "reconstructions.png",
    "traversals.png",
    "dimensions.png",
    "latent_map_pca.png",
    "latent_map_umap.png",
)
_FEWEST_UMAP = 15  # examples: it looks at that many neighbours of each
_RECONSTRUCTED, _TRAVERSED = 32, 12  # examples and dimensions in pictures


@dataclasses.dataclass(frozen=True, kw_only=True)
class WholeEvaluation:
    """The evaluation of a run: its likelihood, what its latents do, how good its samples are.

    Attributes:
        run: the run.
        evaluation: log p(x) and the objective's terms.
        collapse: which latents are used, of 1,000 examples at random.
        surgery: the rate, taken apart, of 5,000; None for a posterior that has no density, or does not
            give it at any z, and for a prior under conditions.
        quality: of "generated" examples, and of real ones of another split, which says what can be
            reached; {} where there is none.
        features: the feature space of `quality`.
        scores: of disentanglement, of 10,000; None for data without known factors.
        left_out: what is missing, and why.
    """

    run: Run
    evaluation: Evaluation
    collapse: CollapseReport
    surgery: Surgery | None
    quality: Mapping[str, SampleQuality]
    features: FeatureSpace | None
    scores: disentanglement.Scores | None
    left_out: tuple[str, ...]

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Yields tables: title, header, rows."""
        header = "", "nats per example", "standard error"
        yield "Likelihood", header, [*self.evaluation.rows()]
        if self.surgery is not None:
            title = f"The rate, taken apart, of {self.surgery.num_examples:,} examples"
            yield title, header, [*self.surgery.rows()]
        if self.quality:
            columns = [quality.rows() for quality in self.quality.values()]
            rows = [(row[0][0], *(value for _, value in row)) for row in zip(*columns, strict=True)]
            num_real = next(iter(self.quality.values())).num_real
            yield (
                f"Samples against {num_real:,} real examples, chosen at random",
                ("", *self.quality),
                rows,
            )
        if self.scores is not None:
            title = f"Disentanglement, of {self.scores.num_rows:,} examples"
            yield title, ("", "score"), [(name, f"{x:.3f}") for name, x in self.scores.table]

    def remarks(self) -> list[str]:
        """What stands in words: which examples, which latents, which feature space, what is missing."""
        found = [str(self.evaluation), str(self.collapse)]
        if self.surgery is not None and not self.run.model.prior.is_exact:
            found.append(
                "The rate and the KL to the prior are at most what is said: its density is a bound."
            )
        if self.features:
            found.append(f"Samples: {self.features}. Not Inception-FID.")
        return [*found, *self.left_out]

    def write(self) -> Path:
        """Writes RUN/evaluation.json, and the folder RUN/evaluation with report, plots and features.

        Returns:
            The folder.
        """
        self.evaluation.write(self.run)
        folder = self.run.path / "evaluation"
        folder.mkdir(exist_ok=True)
        with _files.publishing(folder, earlier=("features.keras", *_PICTURES)) as new:
            drawn = _draw(self, new)
            if self.features is not None:
                self.features.network.save(new / "features.keras")
            record = self.evaluation.record() | {
                "collapse": dataclasses.asdict(self.collapse),
                "surgery": None if self.surgery is None else dataclasses.asdict(self.surgery),
                "samples": {name: dataclasses.asdict(q) for name, q in self.quality.items()},
                "disentanglement": None if self.scores is None else dict(self.scores.table),
                "left_out": list(self.left_out),
            }
            text = json.dumps(record, indent=2, default=np.ndarray.tolist)
            (new / "report.json").write_text(text + "\n")
            sections = [
                f"# Evaluation of {self.run.path.resolve().name}",
                *self.remarks(),
                *(
                    f"## {title}\n\n{reports.table(header, rows)}"
                    for title, header, rows in self.tables()
                ),
                *(f"## {title}\n\n![{title}]({name})" for name, title in drawn.items()),
            ]
            (new / "report.md").write_text("\n\n".join(sections) + "\n")
            reports.write_html(new / "report.md", new / "report.html")
        return folder


def evaluate_whole(
    run: Run,
    *,
    num_samples: int,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    num_temperatures: int | None = None,
    features: str | os.PathLike[str] | None = None,
) -> WholeEvaluation:
    """Evaluates a run in every respect.

    Args:
        run: the run.
        num_samples: importance samples per example, k.
        split: "train", "validation" or "test".
        limit: only the first so many examples, at least 2.
        seed: of all draws, and of the classifier.
        num_temperatures: of annealed importance sampling; None: without.
        features: the file of `sampled_runs.feature_space`; None: a classifier is trained.
    """
    need_vae(run.model, "evaluate --all")
    if (folder := run.path / "evaluation").exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, and is to be a folder. Move it away.")
    x = examples(run.data, split, limit)
    if num_rows(x) < 2:
        raise ValueError("What latents do shows over at least 2 examples. Received: 1")
    space, left_out = None, []
    if reason := why_no_quality(run, split, num_rows(x), features):
        left_out.append(f"Without the quality of samples: {reason}")
    else:
        try:
            space = feature_space(run, split, features, seed)
        except ValueError as error:
            if features is not None:
                raise
            left_out.append(f"Without the quality of samples: {error}")
    posterior = run.model.posterior
    has_surgery = posterior.has_density and posterior.invertible and not run.model.prior.conditions
    if not posterior.has_density:
        left_out.append(
            "Without log p(x) and surgery: the posterior is a point and has no density."
        )
    elif run.model.prior.conditions:
        left_out.append("Without surgery: the prior is another for every condition.")
    elif not posterior.invertible:
        left_out.append("Without surgery: the posterior gives log q(z|x) at its own samples only.")
    if (support := run.model.prior.support) != "real":
        left_out.append(f"Without traversals: z moves on the {support} only.")
    scores = None
    if run.data.factor_sizes:
        try:
            scored, rows = some(x, _SCORED, seed)
            factors = run.data.factors(split)[rows]
            scores = disentanglement.scores(run.model.embed(scored), factors, seed=seed)
        except ValueError as reason:  # too few examples for a score
            left_out.append(f"Without scores of disentanglement: {reason}")
    return WholeEvaluation(
        run=run,
        evaluation=evaluate_run(
            run,
            num_samples=num_samples,
            split=split,
            limit=limit,
            seed=seed,
            num_temperatures=num_temperatures,
        ),
        collapse=collapse_report(run.model, some(x, _COLLAPSE, seed)[0], seed=seed),
        surgery=surgery(run.model, some(x, _SURGERY, seed)[0], seed=seed) if has_surgery else None,
        quality={}
        if space is None
        else run_quality(run, split, min(num_rows(x), _COMPARED), space, seed),
        features=space,
        scores=scores,
        left_out=tuple(left_out),
    )


def _first(batch, number: int):
    return tf.nest.map_structure(lambda array: array[:number], batch)


def _draw(whole: WholeEvaluation, folder: Path) -> dict[str, str]:
    """Draws what there is to draw; gives titles by file name."""
    run, model, split = whole.run, whole.run.model, whole.evaluation.about["split"]
    x, drawn = examples(run.data, split, whole.evaluation.about["num_examples"]), {}
    if pictures.is_image(model.event_shape):
        shown = _first(x, _RECONSTRUCTED)
        again, value_range = model.reconstruct(shown), run.value_range
        pictures.save(folder / "reconstructions.png", again, x_of(shown), value_range)
        drawn["reconstructions.png"] = "Examples, and their reconstructions below"
        if model.prior.support == "real":
            dims = min(_TRAVERSED, model.latent_dim)
            rows = control.traversals(model, some(x, _COLLAPSE, 0)[0], dims)
            pictures.save_rows(folder / "traversals.png", rows, value_range)
            title = "Latent dimensions, from -3 to 3 standard deviations of the prior"
            drawn["traversals.png"] = title
    worth, parts = whole.collapse.worth_by_dimension, whole.surgery
    costs = () if parts is None else (parts.dimension_information, parts.dimension_kl)
    pictures.dimensions(folder / "dimensions.png", worth, *costs)
    drawn["dimensions.png"] = "What latent dimensions cost, and what they are worth"
    z, labels = model.embed(x), run.data.stored[split].labels
    has_umap = pictures.has_umap() and len(z) > _FEWEST_UMAP
    for projection in ["pca", "umap"] if has_umap else ["pca"]:
        name = f"latent_map_{projection}.png"
        of = f"{split} examples"
        pictures.latent_map(
            folder / name, z, None if labels is None else labels[: len(z)], of, projection
        )
        drawn[name] = f"Where examples lie in latent space ({projection.upper()})"
    return drawn
