"""What people use a VAE for, each as a few lines: scikit-learn's interface where it has one, the
Keras model underneath.
"""
