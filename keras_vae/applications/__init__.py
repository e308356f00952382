"""What people use a VAE for, each as a few lines: scikit-learn's interface where it has one, the
Keras model underneath.
"""

from keras_vae.applications.imputation import (
    Imputer,
    fill_table,
    impute,
    sample_imputations,
    sample_tables,
)
from keras_vae.applications.synthesis import QualityReport, Synthesizer, quality, synthesize

__all__ = [
    "Imputer",
    "QualityReport",
    "Synthesizer",
    "fill_table",
    "impute",
    "quality",
    "sample_imputations",
    "sample_tables",
    "synthesize",
]
