"""Pictures: grids of images as arrays, plots as PNG files. Equal input gives equal bytes."""

from keras_vae.pictures.grids import (
    analogy_grid,
    check_output,
    image_grid,
    is_image,
    save,
    save_analogies,
    save_gif,
    save_png,
    save_rows,
    side_by_side,
)
from keras_vae.pictures.latents import PROJECTIONS, dimensions, has_umap, latent_map
from keras_vae.pictures.plots import anomalies, learning_curves, overview, save_figure
from keras_vae.pictures.tables import table_quality, true_and_imputed

__all__ = [
    "PROJECTIONS",
    "analogy_grid",
    "anomalies",
    "check_output",
    "dimensions",
    "has_umap",
    "image_grid",
    "is_image",
    "latent_map",
    "learning_curves",
    "overview",
    "save",
    "save_analogies",
    "save_figure",
    "save_gif",
    "save_png",
    "save_rows",
    "side_by_side",
    "table_quality",
    "true_and_imputed",
]
