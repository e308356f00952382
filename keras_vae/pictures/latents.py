"""Plots of latents: where examples lie, and what the dimensions carry."""

import importlib.util
import os
from typing import Any

import matplotlib.figure
import numpy as np

from keras_vae._parts import check_known
from keras_vae.pictures.plots import save_figure


def _principal_axes(z: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    centred = z - z.mean(axis=0)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    share = spread[:2] ** 2 / max(np.sum(spread**2), np.finfo(np.float32).tiny)
    return centred @ axes[:2].T, tuple(
        f"principal axis ({part:.0%} of the variance)" for part in share
    )


def _umap(z: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    import umap  # pyright: ignore[reportMissingImports]

    return umap.UMAP(random_state=0, n_jobs=1).fit_transform(z), ("UMAP 1", "UMAP 2")


PROJECTIONS = {"pca": _principal_axes, "umap": _umap}
"""Ways to two dimensions, by name."""


def has_umap() -> bool:
    """Whether the package umap-learn is installed, which the projection "umap" takes."""
    return importlib.util.find_spec("umap") is not None


def latent_map(
    path: str | os.PathLike[str],
    z: np.ndarray,
    labels: np.ndarray | None = None,
    of: str = "test examples",
    projection: str = "pca",
) -> None:
    """Plots embeddings in two dimensions, coloured by label.

    Args:
        path: PNG file to write.
        z: float [N, latent_dim].
        labels: [N], numbers or names, or None.
        of: what the N are, for the title.
        projection: "pca", their first two principal axes; or "umap", which keeps neighbours together
            and no distances, if umap-learn is installed.
    """
    check_known("projection", projection, PROJECTIONS)
    if len(z) < 2:
        raise ValueError(f"A map needs at least 2 examples. Received: {len(z)}")
    flat, names_of_axes = PROJECTIONS[projection](z)
    figure = matplotlib.figure.Figure(figsize=(6.4, 5.4), layout="constrained")
    ax = figure.add_subplot()
    if flat.shape[1] == 1:
        flat = np.concatenate([flat, np.zeros_like(flat)], axis=1)
    names: Any = None
    if labels is not None and (labels.dtype.kind not in "buif" or np.isnan(labels).any()):
        names, labels = np.unique(labels.astype(str), return_inverse=True)
    style = {} if labels is None else {"c": labels, "cmap": "tab10"}
    points = ax.scatter(flat[:, 0], flat[:, 1], s=4, alpha=0.7, linewidths=0, **style)
    if labels is not None:
        shown: Any = "auto" if names is None else None  # None: all of them
        marks, texts = points.legend_elements(num=shown)
        ax.legend(
            marks,
            texts if names is None else list(names),
            title="label",
            fontsize=8,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    for name, words in zip(("x", "y"), names_of_axes, strict=False):
        ax.set(**{f"{name}label": words})
    ax.set_title(f"posterior means of {len(z):,} {of}")
    save_figure(figure, path)


def dimensions(
    path: str | os.PathLike[str],
    worth: np.ndarray,
    information: np.ndarray | None = None,
    misfit: np.ndarray | None = None,
) -> None:
    """Plots what each latent dimension is worth and what it costs, those of the largest worth first.

    Args:
        path: PNG file to write.
        worth: by how much log p(x|z) falls with another example's z_d, nats per example [D].
        information: of z_d about x, nats [D]; or None.
        misfit: KL of the aggregate posterior's dimension to the prior's, nats [D]; or None. Together
            they are the rate.
    """
    order = np.argsort(-worth, kind="stable")
    places = np.arange(len(order))
    num_rows = 1 if information is None else 2
    figure = matplotlib.figure.Figure(
        figsize=(max(6.4, 1.6 + 0.16 * len(order)), 2.5 * num_rows), layout="constrained"
    )
    first, *others = figure.subplots(num_rows, 1, sharex=True, squeeze=False)[:, 0]
    first.bar(places, worth[order], color="tab:blue")
    first.set(
        ylabel="worth (nats)", title="latent dimensions, by what they are worth to the decoder"
    )
    for ax in others:
        below = np.zeros(len(order))
        for values, label, colour in (
            (information, "information about x", "0.6"),
            (misfit, "KL of the aggregate to the prior", "tab:red"),
        ):
            if values is not None:
                ax.bar(places, values[order], bottom=below, color=colour, label=label)
                below += values[order]
        ax.set(ylabel="rate (nats)" if misfit is not None else "nats")
        ax.legend()
    last = [first, *others][-1]
    last.set_xlabel("dimension")
    is_crowded = len(order) > 24
    last.set_xticks(
        places, map(str, order), fontsize=7 if is_crowded else 9, rotation=90 if is_crowded else 0
    )
    for ax in (first, *others):
        ax.grid(alpha=0.3, axis="y")
        ax.set_axisbelow(True)
    save_figure(figure, path)
