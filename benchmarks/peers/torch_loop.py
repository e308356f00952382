"""A VAE written by hand in PyTorch: with a DataLoader (`loader`), indexing a tensor (`tensors`), or that and
`torch.compile` (`compile`).
"""

import torch
from task import Clock, given
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_networks import decoder, encoder


def main():
    task, variant, seconds = given()
    torch.manual_seed(0)
    pixels = torch.from_numpy(task.pixels()).permute(0, 3, 1, 2).contiguous()
    steps = task.images // task.batch
    clock = Clock(steps * task.batch, seconds)
    q, p = encoder(task), decoder(task)
    optimizer = torch.optim.Adam([*q.parameters(), *p.parameters()], lr=1e-3)

    def loss_of(batch):
        x = torch.bernoulli(batch.float() / 255.0)
        mean, log_variance = q(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        distortion = binary_cross_entropy_with_logits(p(z), x, reduction="sum")
        rate = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        return (distortion + rate) / len(batch)

    if variant == "compile":
        loss_of = torch.compile(loss_of)

    def batches():
        if variant == "loader":
            data = torch.utils.data.TensorDataset(pixels)
            loader = torch.utils.data.DataLoader(data, task.batch, shuffle=True, drop_last=True)
            yield from (batch for (batch,) in loader)
        else:
            order = torch.randperm(len(pixels))
            for i in range(steps):
                yield pixels[order[i * task.batch : (i + 1) * task.batch]]

    done = False
    while not done:
        for batch in batches():
            optimizer.zero_grad(set_to_none=True)
            loss_of(batch).backward()
            optimizer.step()
            clock.step()
        done = clock.epoch()
    clock.report()


if __name__ == "__main__":
    main()
