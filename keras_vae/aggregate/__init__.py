"""The aggregate posterior q(z) = mean_n q(z|x_n) of a trained model, and priors fitted to it.

A decoder has learned what latents from q(z) show; where the prior has other ones, as a standard
normal has, it generates worse than it could. A fitted prior takes the prior's place:

    vae.with_prior(fit_mixture(vae, x_train, num_components=20))

generates, is exported and has a `log_likelihood` as with any other. The bound can only gain: what
it loses to the prior is KL(q(z) || p(z)), which is what the fit makes small.
"""

from keras_vae.aggregate.draws import Aggregate
from keras_vae.aggregate.fitting import fit_flow, fit_mixture, fit_two_stage

__all__ = ["Aggregate", "fit_flow", "fit_mixture", "fit_two_stage"]
