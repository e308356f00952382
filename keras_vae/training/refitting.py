"""Another prior for a finished run's model, fitted to what its encoder makes of the training examples."""

import json
import os
from pathlib import Path
from typing import Any

from keras_vae import _files, aggregate, pictures, reports
from keras_vae._parts import check_known
from keras_vae.evaluation import bound
from keras_vae.models import EncoderDecoder
from keras_vae.training.results import examples, save_samples
from keras_vae.training.run import Run

FITS = {
    "mixture": aggregate.fit_mixture,
    "flow": aggregate.fit_flow,
    "two-stage": aggregate.fit_two_stage,
}
_MEASURED = 1000  # validation examples


def fit_prior(
    run: Run,
    output: str | os.PathLike[str],
    kind: str = "mixture",
    *,
    num_components: int | None = None,
    limit: int | None = 50_000,
    seed: int = 0,
    overwrite: bool = False,
) -> Run:
    """Puts a prior fitted to the aggregate posterior in the place of the one that a run was trained with.

    The new run has the same encoder and decoder: it generates, is evaluated and exported as any other,
    and cannot be trained on. Its report shows samples, and the bound, under both priors.

    Args:
        run: the run, which is left as it is.
        output: the folder of the new run; see `_files.claim_folder` for what is refused.
        kind: a name in `FITS`.
        num_components: of the mixture; None: 10.
        limit: training examples to fit to, the first ones; None: all.
        seed: integer of at least 0, of the fit.
        overwrite: whether an earlier run there may be replaced.

    Raises:
        ValueError: for an unknown kind, a num_components that no mixture reads, the run's own folder as
            the output, and as in `keras_vae.aggregate`.
    """
    check_known("prior", kind, FITS)
    if num_components is not None and kind != "mixture":
        raise ValueError(
            f"num_components belongs to the prior mixture, not to {kind}. Leave it out."
        )
    if Path(output).resolve() == run.path.resolve():
        raise ValueError(
            f"{output} is the run's own folder, whose model is kept. Choose another --output."
        )
    model, splits = run.model, run.data
    options: dict[str, Any] = {} if num_components is None else {"num_components": num_components}
    x = examples(splits, "train", limit)
    folder = _files.claim_folder(output, "run", overwrite=overwrite)
    prior = FITS[kind](model, x, seed=seed, **options)
    fitted = model.with_prior(prior)
    # For `evaluate`.
    fitted.compile(jit_compile=False)  # pyright: ignore[reportArgumentType]
    how = {"prior": kind, **options, "limit": limit, "seed": seed, "of": str(run.path.resolve())}
    with _files.publishing(folder, Run.ENTRIES) as new:
        fitted.save(new / "model.keras")
        _write_report(new, run, {"in training": model, f"fitted: {kind}": fitted}, how)
        config = {**run.config, **_files.marker("run"), "fitted_prior": how}
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return Run(folder)


def _write_report(folder: Path, run: Run, models: dict[str, EncoderDecoder], how: dict) -> None:
    """`report.md`: both priors' bounds and samples."""
    splits = run.data
    seen = examples(splits, "validation", _MEASURED)
    sections = [f"# {splits.name}: a fitted prior"]
    if run.model.posterior.has_density:
        bounds = {name: bound(model, seen) for name, model in models.items()}
        rows = [
            [name, *(f"{term.mean():.2f}" for term in (of.negative_elbo, of.distortion, of.rate))]
            for name, of in bounds.items()
        ]
        sections += [
            f"Nats per example, mean over {len(next(iter(bounds.values())).rate):,} validation examples.",
            reports.table(["prior", "-ELBO", "distortion", "rate"], rows),
        ]
        if not all(model.prior.is_exact for model in models.values()):
            sections.append(
                "The density of a two-stage prior is known by a lower bound alone, so its rate and its -ELBO are "
                "upper bounds of what they would be."
            )
    if pictures.is_image(splits.shape):
        few = examples(splits, "validation", 64)
        for (name, model), file in zip(
            models.items(), ("samples_before.png", "samples.png"), strict=True
        ):
            save_samples(folder / file, model, few, run.value_range)
            sections.append(f"## Samples of the prior {name}\n\n![samples]({file})")
    sections.append("## Fit\n\n" + reports.table(["option", "value"], how.items()))
    _files.write(folder / "report.md", "\n\n".join(sections) + "\n")
