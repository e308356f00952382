"""The options of a recipe, for the commands that train."""

from typing import Annotated

import typer

DataOption = Annotated[
    str,
    typer.Option(
        help="mnist, dsprites, tfds:NAME, a folder of IDX files, of images or of TFRecord or ArrayRecord shards, "
        "or a .npy, .npz, .csv or .parquet file."
    ),
]
StreamOption = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Leave the data on disk and read them batch by batch, with flat memory.",
    ),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(help="grey, dynamic, static, raw or table; the source's own by default."),
]
ColumnTypeOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a table: NAME=TYPE for a column that is not what it looks like; real, integer, count, "
        "zero-inflated-count, binary, categorical or skip. May be repeated."
    ),
]
ConditionOption = Annotated[
    str | None,
    typer.Option(
        help="What the networks are told beside x: label, or the image as downscaled-2, downscaled-4, noisy or "
        "(a part of it) hidden."
    ),
]
ActivationOption = Annotated[
    str, typer.Option(help="Of the hidden layers: relu, silu, tanh, or another of Keras's.")
]
LikelihoodOption = Annotated[
    str | None,
    typer.Option(
        help="bernoulli, continuous-bernoulli, beta, discretized-logistic, discretized-logistic-mixture, normal, "
        "shared-scale-normal, optimal-normal, laplace, student-t, categorical, poisson, negative-binomial, "
        "zero-inflated-poisson or zero-inflated-negative-binomial; what suits the protocol by default."
    ),
]
PosteriorOption = Annotated[
    str | None,
    typer.Option(
        help="normal, multivariate-normal, planar-flow, iaf, power-spherical, relaxed-categorical or deterministic; "
        "what suits the objective by default."
    ),
]
CategoriesOption = Annotated[
    int, typer.Option(min=2, help="Categories of each group of the posterior relaxed-categorical.")
]
PriorOption = Annotated[
    str | None,
    typer.Option(
        help="normal, mixture, vamp, real-nvp, maf, (with a condition) conditional-normal, hyperspherical-uniform or "
        "relaxed-categorical; what suits the posterior by default."
    ),
]
WarmUpOption = Annotated[
    int, typer.Option(min=0, help="Epochs over which beta of elbo, or the capacity, rises from 0.")
]
CyclesOption = Annotated[
    int,
    typer.Option(
        min=0, help="How often beta rises from 0 instead, in the first half of every cycle."
    ),
]
FreeBitsOption = Annotated[
    float, typer.Option(help="Nats of rate that each latent has for nothing, in elbo.")
]
MechanismOption = Annotated[
    str | None,
    typer.Option(
        help="What a table's values are missing by: self-masking, self-masking-high, self-masking-low, linear or "
        "nonlinear (not-MIWAE); at random by default."
    ),
]
EpochsOption = Annotated[
    int,
    typer.Option(min=1, help="Passes over the training data, or, see below, parts of them."),
]
StepsPerEpochOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Updates until the next validation and checkpoint, where a pass is too long for that.",
    ),
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Examples per update.")]
LearningRateOption = Annotated[float, typer.Option(help="Adam's highest; it falls along a cosine.")]
PatienceOption = Annotated[
    int | None,
    typer.Option(min=1, help="Stop after so many epochs without a better validation bound."),
]
JitOption = Annotated[
    bool | None, typer.Option(help="Train under XLA; by default for mlp, not for conv.")
]
