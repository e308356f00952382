"""Generation (`generate`) and ELBOs (`score`) by hand in eager PyTorch."""

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_networks import trained_networks
from trained import examples, report_calls, variant


def main():
    q, p = trained_networks()
    x = np.resize(examples(), (4096, 784))

    @torch.inference_mode()
    def generated(n):
        return torch.sigmoid(p(torch.randn(n, 20))).numpy()

    @torch.inference_mode()
    def elbo(pixels):
        batch = torch.from_numpy(pixels)
        mean, log_variance = q(batch).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        terms = binary_cross_entropy_with_logits(p(z).flatten(1), batch, reduction="none")
        rate = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1)
        return -(terms.sum(dim=1) + rate).numpy()

    def generate(n):
        return lambda: generated(n)

    def score(n):
        return lambda: elbo(x[:n])

    report_calls({"generate": generate, "score": score}[variant()])


if __name__ == "__main__":
    main()
