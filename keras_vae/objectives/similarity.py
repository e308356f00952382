from typing import Any, ClassVar

import tensorflow as tf

from keras_vae._parts import (
    Scheduled,
    check_constant,
    check_count,
    check_positive,
    name_of,
    value_object,
)
from keras_vae.estimators import MOST_LEVELS, structural_similarity
from keras_vae.objectives._base import Objective, elbo_terms
from keras_vae.objectives._looks import need_images, shown_and_expected


@value_object
class StructuralSimilarity(Objective):
    """The ELBO, and how unlike the image its reconstruction looks by MS-SSIM.

        loss = distortion + beta rate + weight (1 - MS-SSIM(x, E[x|z]))

    **The added term is no likelihood**: it has no unit, no normaliser, and the loss is no bound on
    anything. It is there for pictures that look sharper at the same distortion. What is comparable with
    other models is `negative_elbo`, which is reported beside it and is the monitor; the dissimilarity, in
    [0, 1], is the term of that name.

    Args:
        weight: of the dissimilarity, in nats, at least 0, or a schedule.
        beta: weight of the rate, at least 0, or a schedule.
        levels: number of scales, each half the one before; None: as many as the image has room for, at
            most 5.
        filter_size: width in pixels of the Gaussian window, of standard deviation 1.5. Wang et al. take
            11, for which five levels need images of 176 x 176; 7 has room for three in 28 x 28.
        value_range: the largest value of x minus the smallest, L.

    Raises:
        ValueError: in a model of anything but images, or of too small ones.

    Example:
        >>> StructuralSimilarity(weight=50.0, levels=3).terms[:2]
        ('loss', 'dissimilarity')

    References:
        Wang, Simoncelli and Bovik, Multi-scale Structural Similarity for Image Quality Assessment, 2003,
        doi:10.1109/ACSSC.2003.1292216.
        Snell et al., Learning to Generate Images with Perceptual Similarity Metrics, 2015,
        arXiv:1511.06409.
    """

    weight: Scheduled = 100.0
    beta: Scheduled = 1.0
    levels: int | None = None
    filter_size: int = 7
    value_range: float = 1.0
    terms: ClassVar[tuple[str, ...]] = (
        "loss",
        "dissimilarity",
        "distortion",
        "rate",
        "negative_elbo",
    )
    monitor: ClassVar[str] = "negative_elbo"

    def __post_init__(self):
        check_positive(name_of(self), or_zero=True, weight=self.weight, beta=self.beta)
        check_constant(name_of(self), value_range=self.value_range)
        check_positive(name_of(self), value_range=self.value_range)
        check_count(name_of(self), filter_size=self.filter_size)
        if self.levels is not None:
            check_count(name_of(self), levels=self.levels)
            if self.levels > MOST_LEVELS:
                raise ValueError(
                    f"MS-SSIM has weights for at most {MOST_LEVELS} levels. Received: {self.levels}"
                )

    def check(self, model: Any):
        need_images(self, model)
        side = min(model.event_shape[:2])
        if side < (needed := self.filter_size << (self.levels or 1) - 1):
            raise ValueError(
                f"{name_of(self)} with levels={self.levels} and filter_size={self.filter_size} looks at images of "
                f"at least {needed} x {needed}. Received a model of x {model.event_shape}. Use fewer levels or a "
                "smaller filter."
            )

    def __call__(self, model, batch, training=False):
        terms, _, z = elbo_terms(model, batch, training)
        similarity = structural_similarity(
            *shown_and_expected(model, batch, z, training),
            levels=self.levels,
            filter_size=self.filter_size,
            value_range=self.value_range,
        )
        dissimilarity = 1.0 - tf.reduce_mean(similarity)
        loss = terms["distortion"] + self.beta * terms["rate"] + self.weight * dissimilarity
        return {"loss": loss, "dissimilarity": dissimilarity, **terms}
