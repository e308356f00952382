import tempfile
from pathlib import Path

import tensorflow as tf

from keras_vae.estimators import kl_divergence
from keras_vae.export.endpoints import row_specs, trace
from keras_vae.export.runtimes import LiteRTFile
from keras_vae.export.tflite import convert
from keras_vae.models import VAE
from keras_vae.noise import as_seed, normals

_ROWS = 100  # of a call


def quantization_cost(vae: VAE, quantization: str | None, data, *, seed=0) -> float:
    """By how much the mean negative ELBO of data is worse through quantised networks, in nats.

    Both networks are converted as `tflite` converts them, but for what they give: the parameters of
    q(z|x) and p(x|z), from which densities are computed in float32. The same noise goes into both
    bounds, so that their difference has little of it.

    Args:
        vae: the model.
        quantization: as in `tflite`.
        data: array [N, *event], or a dict of arrays, N a few hundred at least.
        seed: of the noise.
    """
    batch = data if isinstance(data, dict) else {"x": data}
    vae.check_batch(batch)
    num_rows = len(batch["x"])
    posterior, likelihood = vae.now(vae.posterior), vae.now(vae.likelihood)
    noise = normals(as_seed(seed), num_rows, posterior.noise_size(vae.latent_dim))

    def encode(**given):
        return {"params": vae.encode(given)}

    def decode(**given):
        return {"params": vae.decode_params(given["z"], given)}

    for_encoder, for_decoder = row_specs(vae, _ROWS)
    functions = {
        "encode": trace("encode", encode, for_encoder),
        "decode": trace("decode", decode, for_decoder),
    }

    def negative_elbo(run) -> float:
        """Mean over the data through the exported networks, nats per example."""
        given = {name: batch[name] for name in for_encoder}
        params = tf.constant(run("encode", **given)["params"])
        z = posterior.transform(params, noise)
        given = {name: batch[name] for name in for_decoder if name != "z"}
        decoded = tf.constant(run("decode", z=z.numpy(), **given)["params"])
        log_likelihood = likelihood.log_prob(decoded, batch["x"], mask=batch.get("mask"))
        rate = kl_divergence(posterior.distribution(params), vae.prior_over(batch), z)
        return float(tf.reduce_mean(rate - log_likelihood))

    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in {None, quantization}:
            files[name] = Path(folder) / f"{name}.tflite"
            files[name].write_bytes(convert(vae, functions, name))
        exact, quantised = (negative_elbo(LiteRTFile(files[name])) for name in (None, quantization))
    return quantised - exact
