from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vae.models import VAE
from keras_vae.noise import as_seed, normals


def sample_inputs(
    vae: VAE, num_rows: int, seed=0, conditions: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Inputs to try a model on, made by the model itself: z from the prior, x from p(x|z).

    Args:
        vae: the model.
        num_rows: number of rows of each.
        seed: integer or pair of 32-bit integers.
        conditions: one value for all or [num_rows, ...], by input name. By default inputs of floats
            get standard normals and inputs of integers zeros.

    Returns:
        "x", "z" and whatever else the networks ask for, [num_rows, ...] each.

    Raises:
        ValueError: for conditions that the networks do not ask for.
    """
    given = conditions or {}
    if unknown := set(given) - set(vae.side_inputs):
        raise ValueError(
            f"The networks ask for {sorted(vae.side_inputs)}. Received: {sorted(unknown)}"
        )
    rng = np.random.default_rng(0)
    sides = {}
    for name, tensor in vae.side_inputs.items():
        shape, dtype = (num_rows, *tensor.shape[1:]), tf.as_dtype(tensor.dtype)
        default = rng.standard_normal(shape) if dtype.is_floating else np.zeros(shape)
        value = np.broadcast_to(given.get(name, default), shape)
        sides[name] = value.astype(dtype.as_numpy_dtype)
    batch = {name: tf.constant(value) for name, value in sides.items()}
    z = vae.prior.transform(normals(as_seed(seed), num_rows, vae.prior.noise_size), batch)
    params = vae.decode_params(z, batch)
    x = vae.now(vae.likelihood).sample(params, as_seed(seed))
    return {"x": x.numpy(), "z": z.numpy(), **sides}
