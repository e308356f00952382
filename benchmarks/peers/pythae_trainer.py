"""pythae's VAE and its BaseTrainer, on the tasks' networks."""

import logging
import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from task import Clock, given
from torch_networks import decoder, encoder


class Encoder(BaseEncoder):
    """The task's encoder, as pythae takes it."""

    def __init__(self, task):
        super().__init__()
        self.network = encoder(task)

    def forward(self, x):
        mean, log_variance = self.network(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """The task's decoder, as pythae takes it."""

    def __init__(self, task):
        super().__init__()
        self.network = decoder(task)

    def forward(self, z):
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


class Done(Exception):
    """The time is over."""


class Timed(TrainingCallback):
    """Tells the clock of steps and epochs."""

    def __init__(self, clock):
        self.clock = clock

    def on_train_step_end(self, training_config, **kwargs):
        self.clock.step()

    def on_epoch_end(self, training_config, **kwargs):
        if self.clock.epoch():
            raise Done


def main():
    task, _, seconds = given()
    logging.disable(logging.CRITICAL)
    height, width, channels = task.shape
    x = torch.from_numpy(task.pixels()).permute(0, 3, 1, 2).float() / 255.0
    config = VAEConfig(
        input_dim=(channels, height, width), latent_dim=task.latent_dim, reconstruction_loss="bce"
    )
    clock = Clock(len(x), seconds)
    model = VAE(config, encoder=Encoder(task), decoder=Decoder(task))
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1000,
            per_device_train_batch_size=task.batch,
            learning_rate=1e-3,
            no_cuda=True,
        )
        labels = torch.zeros(len(x))
        trainer = BaseTrainer(
            model, BaseDataset(x, labels), training_config=training, callbacks=[Timed(clock)]
        )
        try:
            trainer.train()
        except Done:
            clock.report()


if __name__ == "__main__":
    main()
