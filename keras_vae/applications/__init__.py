"""What people use a VAE for, each as a few lines: scikit-learn's interface where it has one, the
Keras model underneath.
"""

from keras_vae.applications.restoration import Restoration, SuperResolution

__all__ = ["Restoration", "SuperResolution"]
