import keras
import tensorflow as tf

from keras_vae._parts import check_constant, check_count, check_positive, check_share, register


@register
class Cyclical(keras.optimizers.schedules.LearningRateSchedule):
    """A number that rises from 0 again and again: for a rate's weight, `ELBO(beta=Cyclical(5_000))`.

    In each period it rises linearly for a share of the steps, and stays at its highest for the rest:
    latents that were given up while the weight was high get another chance when it is low.

    Args:
        period: steps of a cycle.
        rising: share of a cycle that it rises for, in (0, 1].
        high: its highest value.

    Example:
        >>> schedule = Cyclical(100, rising=0.5)
        >>> [float(schedule(step)) for step in (0, 25, 50, 99, 125)]
        [0.0, 0.5, 1.0, 1.0, 0.5]

    References:
        Fu et al., Cyclical Annealing Schedule, 2019, arXiv:1903.10145.
    """

    def __init__(self, period: int, rising: float = 0.5, high: float = 1.0):
        check_count("Cyclical", period=period)
        check_constant("Cyclical", rising=rising, high=high)
        check_positive("Cyclical", rising=rising, high=high)
        check_share("Cyclical", rising=rising)
        self.period, self.rising, self.high = period, rising, high

    def __call__(self, step):
        place = tf.cast(tf.math.floormod(tf.cast(step, tf.int64), self.period), tf.float32)
        return self.high * tf.minimum(place / (self.rising * self.period), 1.0)

    def get_config(self):
        return {"period": self.period, "rising": self.rising, "high": self.high}
