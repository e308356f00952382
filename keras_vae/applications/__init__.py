"""What people use a VAE for, each as a few lines: scikit-learn's interface where it has one, the
Keras model underneath.
"""

from keras_vae.applications import control
from keras_vae.applications.anomaly import AnomalyDetector
from keras_vae.applications.detection import Detection, Detector, Threshold, calibrate, detect_run
from keras_vae.applications.embedding import Embedder
from keras_vae.applications.imputation import (
    Imputer,
    fill_table,
    impute,
    sample_imputations,
    sample_tables,
)
from keras_vae.applications.restoration import Restoration, SuperResolution
from keras_vae.applications.scores import SCORES
from keras_vae.applications.scoring import AnomalyScore, anomaly_scores, attributions
from keras_vae.applications.synthesis import Synthesizer, synthesize
from keras_vae.applications.table_quality import QualityReport, quality

__all__ = [
    "SCORES",
    "AnomalyDetector",
    "AnomalyScore",
    "Detection",
    "Detector",
    "Embedder",
    "Imputer",
    "QualityReport",
    "Restoration",
    "SuperResolution",
    "Synthesizer",
    "Threshold",
    "anomaly_scores",
    "attributions",
    "calibrate",
    "control",
    "detect_run",
    "fill_table",
    "impute",
    "quality",
    "sample_imputations",
    "sample_tables",
    "synthesize",
]
