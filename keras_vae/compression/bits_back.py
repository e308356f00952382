"""Bits-back coding: a stack of bits on which examples are pushed and popped."""

import dataclasses
import importlib
import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_vae import posteriors
from keras_vae._parts import name_of
from keras_vae.models import VAE, need_vae
from keras_vae.priors import Prior

tfd = tfp.distributions

# z lies on a grid. The posterior is cut off at so many points from its location: constriction gives
# each of them at least a probability of 2^-24, and the fewer there are, the seldomer z falls on one of
# those that are there for nothing else.
_STEP = 2.0**-7
_NEAR = 2**9
_FAR = 2**12  # points on either side of zero that the prior knows
_MOST_BITS = 24  # that a number may take from the stack
_SPARE_BITS = 64  # of the stack's head
_SHIFTED_BITS = 16  # at once, where bits are made random

_ROWS = 128  # examples in one call of the networks
_NUMBERS_PER_PASS = 2**24

OTHER_NUMBERS = (
    "The model's networks give other numbers here than where the file was made, so what was decoded is not what "
    "was compressed. Decompress on the kind of machine and with the versions of TensorFlow and Keras that "
    "compressed; the file itself is whole."
)


class BitsBack:
    """A stack of bits on which an example takes -ELBO bits.

        push x:    pop z ~ q(z|x),   push x under p(x|z),   push z under p(z)
        pop x:     pop z ~ p(z),     pop x ~ p(x|z),        push z under q(z|x)

    z is drawn with bits that are on the stack already, and popping x gives them back; hence the
    name, and hence the rate costs log q(z|x) - log p(z) instead of -log p(z). A mixture prior is
    coded likewise: its component is drawn from p(k|z), then z and k are pushed.

    Bits that were pushed under a p that x or z does not follow quite are not quite random, and z
    drawn with them does not follow q. So they are shifted by pseudo-random numbers first, which
    popping takes back.

    Both ways call the networks on batches of one shape, since the last bits of their results
    depend on it; a batch holds as many examples as the stack can pay for, and its size is pushed too.

    Args:
        model: the model.
        words: what is on the stack, uint32 [W].
        count: number of examples there.

    Raises:
        ValueError: where parts of the model cannot be coded, naming them.
    """

    def __init__(self, model: VAE, words: np.ndarray | None = None, count: int = 0):
        constriction = _constriction()
        self.networks, self.prior = _Networks(model), _Components.of(model.prior)
        self._new, self._models = constriction.stream.stack.AnsCoder, constriction.stream.model
        self._stack = self._new(np.zeros(0, np.uint32) if words is None else words)
        self.count = count
        self._random = np.random.default_rng(0)
        self._bits_each = _MOST_BITS * (model.latent_dim + 1)
        self._size = self._models.Uniform(self.networks.rows)

    @property
    def words(self) -> np.ndarray:
        return self._stack.get_compressed()

    @property
    def affordable(self) -> int:
        """The number of examples that the bits on the stack are enough for; at least 1."""
        bits = self._stack.num_valid_bits() - _SPARE_BITS
        return max(1, min(self.networks.rows, bits // self._bits_each))

    def push(self, symbols: np.ndarray) -> None:
        """Pushes examples, numbers of symbols [n, *event]; n is at most `affordable`."""
        self._borrow()
        self._shift(len(symbols), 1)
        loc, scale = self.networks.posterior(symbols)
        centre = _centre(loc)
        points = centre + self._pop_normal(_NEAR, loc - centre, scale)
        self._push(symbols, self.networks.probabilities(points))
        self._push_latents(points)
        self._stack.encode_reverse(len(symbols) - 1, self._size)
        self.count += len(symbols)

    def pop(self) -> np.ndarray:
        """Pops the examples that were pushed last, together.

        Raises:
            ValueError: where the stack shows that the networks' results are not those of `push`.
        """
        if self._stack.is_empty():
            raise ValueError(OTHER_NUMBERS)
        num_rows = self._stack.decode(self._size) + 1
        if num_rows > self.count:
            raise ValueError(OTHER_NUMBERS)
        points = self._pop_latents(num_rows)
        symbols = self._pop(self.networks.probabilities(points))
        symbols = symbols.reshape(num_rows, *self.networks.event_shape)
        loc, scale = self.networks.posterior(symbols)
        centre = _centre(loc)
        if (abs(points - centre) > _NEAR).any():
            raise ValueError(OTHER_NUMBERS)
        self._push_normal(points - centre, _NEAR, loc - centre, scale)
        self.count -= num_rows
        self._shift(num_rows, -1)
        return symbols

    def _borrow(self) -> None:
        """Puts random words under the stack until it can pay for an example, as it does from then on."""
        short = self._bits_each + _SPARE_BITS - self._stack.num_valid_bits()
        if short > 0:
            words = self._random.integers(1, 2**32, math.ceil(short / 32), dtype=np.uint32)
            self._stack = self._new(np.concatenate([words, self.words]))

    def _shift(self, num_rows: int, sign: int) -> None:
        """Adds pseudo-random numbers, modulo 2^16, to the bits that z is drawn with, or takes them away."""
        number = math.ceil(num_rows * self._bits_each / _SHIFTED_BITS)
        raw = np.random.Philox(key=self.count).random_raw(number)
        shift = (raw >> (64 - _SHIFTED_BITS)).astype(np.int32)
        uniform = self._models.Uniform(1 << _SHIFTED_BITS)
        shifted = self._stack.decode(uniform, number) + sign * shift
        self._stack.encode_reverse(shifted % (1 << _SHIFTED_BITS), uniform)

    def _push_latents(self, points: np.ndarray) -> None:
        prior = self.prior
        component = self._pop(prior.given(points))
        self._push_normal(points, _FAR, prior.loc[component], prior.scale[component])
        self._push(component, prior.weights_for(len(points)))

    def _pop_latents(self, num_rows: int) -> np.ndarray:
        prior = self.prior
        component = self._pop(prior.weights_for(num_rows))
        points = self._pop_normal(_FAR, prior.loc[component], prior.scale[component])
        self._push(component, prior.given(points))
        return points

    def _push(self, symbols: np.ndarray, probabilities: np.ndarray) -> None:
        """Pushes N symbols under probabilities [N, K]; of one symbol there is nothing to say."""
        if probabilities.shape[1] > 1:
            model = self._models.Categorical(perfect=False)
            self._stack.encode_reverse(symbols.ravel().astype(np.int32), model, probabilities)

    def _pop(self, probabilities: np.ndarray) -> np.ndarray:
        if probabilities.shape[1] == 1:
            return np.zeros(len(probabilities), np.int32)
        return self._stack.decode(self._models.Categorical(perfect=False), probabilities)

    def _push_normal(self, points: np.ndarray, most: int, loc, scale) -> None:
        """Pushes points [N, D] between -most and most, under normals in units of the grid."""
        model = self._models.QuantizedGaussian(-most, most)
        self._stack.encode_reverse(
            points.ravel().astype(np.int32), model, loc.ravel(), scale.ravel()
        )

    def _pop_normal(self, most: int, loc, scale) -> np.ndarray:
        model = self._models.QuantizedGaussian(-most, most)
        return self._stack.decode(model, loc.ravel(), scale.ravel()).reshape(loc.shape)


def _centre(loc: np.ndarray) -> np.ndarray:
    """The point about which the posterior's points lie, with all of them where the prior has some."""
    return np.clip(np.round(loc), _NEAR - _FAR, _FAR - _NEAR).astype(np.int64)


def _constriction() -> Any:
    try:
        return importlib.import_module("constriction")
    except ImportError as error:
        raise ImportError(
            "Compressed files are made and read by constriction, which is not installed. Install it with: pip "
            "install 'keras-vae[compress]'"
        ) from error


class _Networks:
    """The distributions of a model as arrays of numbers, from calls of one shape on the processor.

    Attributes:
        alphabet: float64 [K], rising: the values that an element of x can have.
        event_shape: of an example.
        rows: the most examples at once.
    """

    def __init__(self, model: VAE):
        _check(model)
        likelihood, family = model.now(model.likelihood), model.now(model.posterior)
        self.alphabet, self.event_shape = np.array(likelihood.alphabet), model.event_shape
        size, num_symbols = math.prod(self.event_shape), len(self.alphabet)
        widest = max(model.widest_layer, size * num_symbols)
        self.rows = max(2, min(_ROWS, _NUMBERS_PER_PASS // widest))
        values = tf.constant(self.alphabet, tf.float32)
        values = tf.reshape(values, [-1, *[1] * (1 + len(self.event_shape))])

        @tf.function
        def posterior(x):
            with tf.device("CPU:0"):
                q = family.distribution(model.encode(x)).distribution
                return q.loc, q.scale

        @tf.function
        def probabilities(z):
            with tf.device("CPU:0"):
                params = model.decode_params(z)
                by_symbol = tf.exp(likelihood.log_prob_by_element(params, values))
                return tf.transpose(tf.reshape(by_symbol, [num_symbols, self.rows * size]))

        self._posterior, self._probabilities = posterior, probabilities

    def posterior(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location and scale of q(z|x) in units of the grid, float64 [n, D] each."""
        x = self.alphabet[symbols].astype(np.float32)
        loc, scale = (
            np.asarray(each, np.float64)[: len(x)] / _STEP
            for each in self._posterior(self._filled(x))
        )
        _check_finite("encoder", loc, scale)
        return loc, scale

    def probabilities(self, points: np.ndarray) -> np.ndarray:
        """Those of every symbol, for every element of n examples, float32 [n * elements, K]."""
        z = (points * _STEP).astype(np.float32)
        probabilities = self._probabilities(self._filled(z)).numpy()
        probabilities = probabilities[: len(z) * math.prod(self.event_shape)]
        _check_finite("decoder", probabilities)
        return probabilities

    def _filled(self, array: np.ndarray) -> tf.Tensor:
        """The array with copies of its last row up to `rows`."""
        filling = [(0, self.rows - len(array))] + [(0, 0)] * (array.ndim - 1)
        return tf.constant(np.pad(array, filling, mode="edge"))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Components:
    """A prior as a mixture of K diagonal normals, in units of the grid, float64.

    Attributes:
        log_weights: [K].
        loc, scale: [K, D].
    """

    log_weights: np.ndarray
    loc: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, prior: Prior) -> "_Components":
        p = prior.distribution()
        log_weights, components = np.zeros(1), p
        if isinstance(p, tfd.MixtureSameFamily):
            log_weights = np.asarray(p.mixture_distribution.logits_parameter(), np.float64)
            components = p.components_distribution
        if not _is_diagonal_normal(components):
            raise ValueError(
                f"Examples are compressed under a prior of diagonal normals: StandardNormal, NormalMixture or "
                f"VampPrior. Received: {name_of(prior)}"
            )
        normal = components.distribution
        loc, scale = (
            np.broadcast_to(
                np.asarray(each, np.float64) / _STEP, (len(log_weights), prior.latent_dim)
            )
            for each in (normal.loc, normal.scale)
        )
        log_weights = log_weights - np.logaddexp.reduce(log_weights)
        return cls(log_weights=log_weights, loc=loc, scale=scale)

    def weights_for(self, num_rows: int) -> np.ndarray:
        """The weights, a row each: [n, K]."""
        return np.tile(np.exp(self.log_weights), (num_rows, 1))

    def given(self, points: np.ndarray) -> np.ndarray:
        """p(k|z) for z at points [n, D]: [n, K]."""
        off = (points[:, np.newaxis] - self.loc) / self.scale
        log_joint = self.log_weights - np.sum(0.5 * off**2 + np.log(self.scale), axis=-1)
        return np.exp(log_joint - np.max(log_joint, axis=1, keepdims=True))


def _is_diagonal_normal(distribution: tfd.Distribution) -> bool:
    return isinstance(distribution, tfd.Independent) and isinstance(
        distribution.distribution, tfd.Normal
    )


def _check(model: VAE) -> None:
    """Raises `ValueError` where parts of a model cannot be coded."""
    need_vae(model, "Compression")
    if model.side_inputs:
        raise ValueError(
            f"The model asks for {sorted(model.side_inputs)} beside x, which a compressed file does not hold. "
            "Compress with a model without conditions."
        )
    if model.likelihood.alphabet is None:
        raise ValueError(
            "Only values of which there are finitely many have a code length; a density has none. Expected a "
            f"likelihood such as Bernoulli or Categorical. Received: {name_of(model.likelihood)}"
        )
    if not isinstance(model.posterior, posteriors.Normal):
        raise ValueError(
            "Examples are compressed under the diagonal posterior Normal. Received: "
            f"{name_of(model.posterior)}"
        )


def _check_finite(network: str, *arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(
            f"The {network} gives NaN or infinite values, under which nothing is coded."
        )
