"""The tasks' networks in PyTorch."""

import torch
from task import TASKS
from torch import nn
from trained import weights

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


def encoder(task):
    act = ACTIVATIONS[task.activation]
    parts = []
    if task.convolutional:
        channels, size = task.shape[-1], task.shape[0]
        for width in task.hidden:
            parts += [nn.Conv2d(channels, width, 3, stride=2, padding=1), act()]
            channels, size = width, size // 2
        parts += [nn.Flatten(), nn.Linear(channels * size * size, 256), act()]
        last = 256
    else:
        parts, last = [nn.Flatten()], task.shape[0] * task.shape[1] * task.shape[2]
        for units in task.hidden:
            parts += [nn.Linear(last, units), act()]
            last = units
    return nn.Sequential(*parts, nn.Linear(last, 2 * task.latent_dim))


def decoder(task):
    """Logits [N, C, H, W]."""
    act = ACTIVATIONS[task.activation]
    height, width, channels = task.shape
    parts, last = [], task.latent_dim
    if not task.convolutional:
        for units in reversed(task.hidden):
            parts += [nn.Linear(last, units), act()]
            last = units
        flat = nn.Linear(last, height * width * channels)
        return nn.Sequential(*parts, flat, nn.Unflatten(1, (channels, height, width)))
    size, deep = height // 2 ** len(task.hidden), task.hidden[-1]
    parts = [nn.Linear(last, 256), act(), nn.Linear(256, deep * size * size), act()]
    parts += [nn.Unflatten(1, (deep, size, size))]
    for out in reversed(task.hidden):
        parts += [nn.ConvTranspose2d(deep, out, 3, stride=2, padding=1, output_padding=1), act()]
        deep = out
    return nn.Sequential(*parts, nn.Conv2d(deep, channels, 3, padding=1))


def trained_networks():
    """The classic encoder and decoder with the trained weights."""
    networks = encoder(TASKS["mlp"]), decoder(TASKS["mlp"])
    for network, arrays in zip(networks, weights(), strict=True):
        layers = [layer for layer in network if isinstance(layer, nn.Linear)]
        for layer, kernel, bias in zip(layers, arrays[::2], arrays[1::2], strict=True):
            layer.weight.data = torch.from_numpy(kernel).T.contiguous()
            layer.bias.data = torch.from_numpy(bias)
    return networks
