"""pythae's `VAE.get_nll`: with its own batch size, 100 (`default`), or with all k samples in one batch (`whole`).

It draws whole batches, so k has to be a multiple of 100.
"""

import torch
from pythae.models import VAE, VAEConfig
from pythae_trainer import Decoder, Encoder
from task import TASKS
from torch_networks import trained_networks
from trained import report_estimate, variant


def main():
    torch.manual_seed(1)
    task = TASKS["mlp"]
    encoder, decoder = Encoder(task), Decoder(task)
    encoder.network, decoder.network = trained_networks()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=task.latent_dim, reconstruction_loss="bce")
    model = VAE(config, encoder=encoder, decoder=decoder).eval()

    @torch.inference_mode()
    def estimate(x, k):
        images = torch.from_numpy(x).reshape(-1, 1, 28, 28)
        options = {"batch_size": k} if variant() == "whole" else {}
        return {"log_likelihood": float(model.get_nll(images, n_samples=k, **options))}

    report_estimate(estimate)


if __name__ == "__main__":
    main()
