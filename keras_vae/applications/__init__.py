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

__all__ = ["Imputer", "fill_table", "impute", "sample_imputations", "sample_tables"]
