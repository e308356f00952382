import math

import numpy as np
from rich.progress import Progress

from keras_vae import _files
from keras_vae._parts import name_of
from keras_vae.compression.bits_back import OTHER_NUMBERS, BitsBack
from keras_vae.compression.container import Compressed, digest, fingerprint
from keras_vae.models import VAE

__all__ = ["compress", "decompress"]


def compress(model: VAE, x, *, progress: bool = True) -> bytes:
    """Examples in about -ELBO bits, every element of which `decompress` gives back.

        bits(x_1 ... x_N) ~ sum_n -ELBO(x_n) / ln 2

    Lossless: not to be confused with `VAE.embed`, from which x comes back roughly. The bits of z that
    do not say anything about x are not written but carry earlier examples (bits back), which takes
    a start: for the first example z is paid for, so that many examples in one file come near the
    bound and a single one does not. The same examples give the same bytes.

    Args:
        model: a `VAE` without conditions: posterior `Normal`; prior `StandardNormal` or a mixture of
            normals; a likelihood with an `alphabet`.
        x: examples [N, *event] of any dtype of at most 64 bits, each element a value of that alphabet.
            What comes back equals it: 0.0 where it has -0.0.
        progress: whether to show a progress bar.

    Returns:
        The file's content.

    Raises:
        ImportError: where the extra `compress` is not installed.
        ValueError: for a model with parts that cannot be coded, and for examples that are not what
            it takes.

    Example:
        >>> from keras_vae import VAE, likelihoods, networks
        >>> vae = VAE(*networks.mlp(8, latent_dim=2, hidden=16), likelihood=likelihoods.Bernoulli())
        >>> x = np.random.default_rng(0).integers(0, 2, [20, 8])
        >>> file = compress(vae, x, progress=False)
        >>> bool(np.all(decompress(vae, file, progress=False) == x))
        True

    References:
        Townsend, Bird and Barber, Practical Lossless Compression with Latent Variables using Bits
        Back Coding, 2019, arXiv:1901.04866.
        Bamler, Understanding Entropy Coding With Asymmetric Numeral Systems, 2022, arXiv:2201.01741
        (the coder, constriction).
    """
    coder = BitsBack(model)
    x = np.asarray(x)
    model.check_batch(x)
    x = x.astype(x.dtype.newbyteorder("<"))
    alphabet = coder.networks.alphabet
    symbols = _symbols(x, alphabet, name_of(model.likelihood))
    with Progress(disable=not progress) as bar:
        task = bar.add_task("compress", total=len(x))
        while coder.count < len(x):
            batch = symbols[coder.count : coder.count + coder.affordable]
            coder.push(batch)
            bar.advance(task, len(batch))
    return Compressed(
        dtype=x.dtype,
        count=len(x),
        model=fingerprint(model),
        examples=digest([alphabet[symbols].astype(x.dtype).tobytes()]),  # not of -0.0
        words=coder.words,
    ).to_bytes()


def decompress(model: VAE, data: bytes, *, progress: bool = True) -> np.ndarray:
    """What `compress` was given, in its order and of its dtype: [N, *event].

    The networks have to give the very numbers that they gave there, to the last bit: that takes
    the same model, the same versions of TensorFlow and Keras, and the same kind of machine. Where
    they do not, that is found out and said.

    Args:
        model: the model that compressed.
        data: the file's content.
        progress: whether to show a progress bar.

    Raises:
        ImportError: where the extra `compress` is not installed.
        ValueError: for data that are damaged, cut off or of another model, and where the networks
            give other numbers here.
    """
    found = Compressed.from_bytes(data)
    found.check_model(model)
    shape = (found.count, *model.event_shape)
    _files.check_fits("The file", math.prod(shape) * found.dtype.itemsize)
    coder = BitsBack(model, found.words, found.count)
    x = np.empty(shape, found.dtype)
    with Progress(disable=not progress) as bar:
        task = bar.add_task("decompress", total=len(x))
        while coder.count:
            symbols = coder.pop()
            x[coder.count : coder.count + len(symbols)] = coder.networks.alphabet[symbols]
            bar.advance(task, len(symbols))
    if digest([x.tobytes()]) != found.examples:
        raise ValueError(OTHER_NUMBERS)
    return x


def _symbols(x: np.ndarray, alphabet: np.ndarray, family: str) -> np.ndarray:
    """The number of each element's value among those that the family knows, like x."""
    if x.dtype.itemsize > 8:
        raise ValueError(f"Expected numbers of at most 64 bits. Received: {x.dtype}")
    known = alphabet.astype(x.dtype) if x.dtype.kind == "f" else alphabet
    symbols = np.searchsorted(known, x).clip(max=len(alphabet) - 1)
    off = known[symbols] != x
    if off.any():
        raise ValueError(
            f"{family} gives {len(alphabet)} values a probability, and {off.mean():.1%} of the elements have none "
            f"of them, such as {x[off].flat[0]!s}. What is rounded could not be given back: "
            f"give each element as one of {family}'s alphabet, in x's own dtype."
        )
    return symbols
