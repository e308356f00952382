"""log p(x) by importance sampling in PyTorch: one example at a time, its k samples in one batch."""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_networks import trained_networks
from trained import report_estimate


def main():
    torch.manual_seed(1)
    q, p = trained_networks()

    def log_p(x, k):
        mean, log_variance = q(x).chunk(2, dim=1)
        noise = torch.randn(k, mean.shape[1])
        z = mean + torch.exp(0.5 * log_variance) * noise
        logits = p(z).flatten(1)
        log_p_x = -binary_cross_entropy_with_logits(
            logits, x.expand_as(logits), reduction="none"
        ).sum(dim=1)
        log_w = log_p_x + 0.5 * (noise**2 + log_variance - z**2).sum(dim=1)
        return (torch.logsumexp(log_w, 0) - math.log(k)).item()

    @torch.inference_mode()
    def estimate(x, k):
        values = [log_p(each[None], k) for each in torch.from_numpy(x)]
        return {"log_likelihood": sum(values) / len(values)}

    report_estimate(estimate)


if __name__ == "__main__":
    main()
