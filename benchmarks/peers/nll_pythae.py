"""pythae's VAE and BaseTrainer with its evaluation set; the epoch that evaluates best is kept."""

import copy
import logging
import tempfile

import torch
from budget import Budget, images, report
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from pythae_trainer import Decoder, Encoder
from task import TASKS


class Done(Exception):
    """The budget is spent."""


class KeepBest(TrainingCallback):
    """Keeps the weights of the best epoch, as pythae does at the end of training."""

    def __init__(self, budget, model):
        self.budget, self.model, self.best, self.weights = budget, model, float("inf"), None

    def on_log(self, training_config, logs, **kwargs):
        if logs["eval_epoch_loss"] < self.best:
            self.best, self.weights = (
                logs["eval_epoch_loss"],
                copy.deepcopy(self.model.state_dict()),
            )
        if self.budget.epoch():
            raise Done


def layers(network):
    """Kernel and bias of each dense layer, as Keras has them."""
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    return [
        array
        for layer in linear
        for array in (layer.weight.data.T.numpy(), layer.bias.data.numpy())
    ]


def main():
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    task, budget = TASKS["mlp"], Budget()
    sets = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in images()]
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=task.latent_dim, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(task), decoder=Decoder(task))
    keep = KeepBest(budget, model)
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=100_000,
            per_device_train_batch_size=task.batch,
            per_device_eval_batch_size=task.batch,
            learning_rate=1e-3,
            no_cuda=True,
        )
        train, validation = (BaseDataset(x, torch.zeros(len(x))) for x in sets)
        trainer = BaseTrainer(model, train, validation, training_config=training, callbacks=[keep])
        try:
            trainer.train()
        except Done:
            model.load_state_dict(keep.weights)
    report(budget, layers(model.encoder.network), layers(model.decoder.network))


if __name__ == "__main__":
    main()
