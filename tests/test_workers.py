"""Several worker processes on loopback: equal to one process, and what happens when one is killed."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console
from test_manifests import SCRIPTS

from keras_vae.training import Recipe, Run, train

SMALL = (
    "--protocol", "dynamic", "--hidden", "16", "--latent-dim", "3", "--batch-size", "24", "--no-jit",
)  # fmt: skip


def ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


class Workers:
    """The processes of a job, each with the whole command but its own TF_CONFIG."""

    def __init__(self, number, output, *command):
        self.hosts = [f"127.0.0.1:{port}" for port in ports(number)]
        self.log, self.command = output.parent / f"{output.name}.log", command
        self.processes = [self.start(index) for index in range(number)]

    @classmethod
    def training(cls, number, output, *arguments):
        command = [sys.executable, "-m", "keras_vae_cli", "train", "--output", output]
        return cls(number, output, *command, "--strategy", "multiworker", *arguments)

    def start(self, index):
        config = {"cluster": {"worker": self.hosts}, "task": {"type": "worker", "index": index}}
        binaries = os.path.dirname(sys.executable)
        environment = {
            "TF_CONFIG": json.dumps(config),
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        }
        with self.log.open("a") as log:
            return subprocess.Popen(
                [*map(str, self.command)], stdout=log, stderr=log, env=os.environ | environment
            )

    def kill_after_the_first_epoch(self, index, output):
        first_state = output / "state" / "state-000001.npz"
        deadline = time.monotonic() + 120
        while not first_state.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.processes[index].kill()
        self.processes[index].wait()

    def wait(self):
        codes = [process.wait(300) for process in self.processes]
        assert codes == [0] * len(codes), self.log.read_text()[-3000:]


def weights(run):
    return [np.asarray(v) for v in run.model.variables]


def assert_alike(left, right):
    for a, b in zip(weights(left), weights(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    for name, values in right.history().items():
        np.testing.assert_allclose(left.history()[name], values, rtol=1e-4, err_msg=name)


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """The run of one process, this one."""
    recipe = Recipe(
        data=str(images), protocol="dynamic", hidden=(16,), latent_dim=3, batch_size=24, epochs=4,
        jit_compile=False,
    )  # fmt: skip
    return train(recipe, tmp_path_factory.mktemp("runs") / "alone", console=Console(quiet=True))


@pytest.mark.parametrize(("number", "options"), [(1, ()), (2, ()), (3, ("--stream",))])
def test_workers_train_as_one_process(images, alone, tmp_path, number, options):
    """The same global batches, noise and order: the same weights, history and best model."""
    output = tmp_path / "run"
    Workers.training(number, output, "--data", images, "--epochs", 4, *SMALL, *options).wait()
    assert_alike(Run(output), alone)
    assert len(list((output / "state").iterdir())) == 2, "one of them writes"
    assert not list(tmp_path.glob(".run*")), "and leaves nothing behind"


def test_a_killed_worker_ends_the_job_which_then_resumes(images, alone, tmp_path):
    output = tmp_path / "run"
    job = Workers.training(2, output, "--data", images, "--epochs", 4, *SMALL)
    job.kill_after_the_first_epoch(1, output)
    code = job.processes[0].wait(240)
    if code != 0:  # else the job was done before the signal came
        assert code == 1
        assert "Another worker is gone" in job.log.read_text()
        assert "--resume" in job.log.read_text()
    Workers.training(2, output, "--resume").wait()
    assert_alike(Run(output), alone)


def test_the_job_for_kubernetes_outlives_the_worker_that_writes(images, alone, tmp_path):
    """Its own command, with failed containers started again as the manifest asks."""
    output = tmp_path / "mnist"
    script = SCRIPTS["tfjob"].replace("/runs/mnist", str(output))
    small = ("--data", str(images), "--epochs", "4", *SMALL)
    script = script.replace("--data mnist --epochs 20 --batch-size 1024", " ".join(small))
    job = Workers(2, output, "sh", "-c", script)
    job.kill_after_the_first_epoch(0, output)
    deadline = time.monotonic() + 240
    while job.processes[0].poll() != 0 and time.monotonic() < deadline:
        for index, process in enumerate(job.processes):
            if process.poll():
                job.processes[index] = job.start(index)
        time.sleep(0.1)
    for process in job.processes:
        process.kill()  # as the operator does when worker 0 has succeeded
        process.wait()
    assert job.processes[0].returncode == 0, job.log.read_text()[-3000:]
    assert '"event": "resumed"' in job.log.read_text()
    assert_alike(Run(output), alone)


def test_a_job_needs_to_know_its_machines(cli, images, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    words = ("train", "--strategy", "multiworker", "--data", images, "--output", tmp_path / "run")
    code, _, error = cli(*words)
    assert code == 2
    assert "TF_CONFIG" in error
    assert not (tmp_path / "run").exists()
