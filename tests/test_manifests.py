"""What other machines are told to run, by YAML and shell files, is there and does what it says."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from check_docs import CodeBlock, check_commands, command_line, make_targets

ROOT = Path(__file__).parent.parent
CLAIM, JOB = yaml.safe_load_all((ROOT / "docs/cluster/tfjob.yaml").read_text())
WORKERS = JOB["spec"]["tfReplicaSpecs"]["Worker"]
POD = WORKERS["template"]["spec"]
(CONTAINER,) = POD["containers"]
SCRIPTS = {
    "tfjob": CONTAINER["args"][0],
    "slurm": (ROOT / "docs/cluster/slurm.sh").read_text(),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_commands_for_clusters_exist(name):
    script = SCRIPTS[name].replace("exec ", "")
    assert script.count("\n  keras-vae train ") == 2
    assert [*check_commands(CodeBlock("sh", script, 1, ""), set(), command_line())] == []


def test_the_job_for_kubernetes_is_one_that_the_operator_and_the_workers_understand():
    assert (JOB["apiVersion"], JOB["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert CONTAINER["name"] == "tensorflow"
    assert CONTAINER["command"] == ["sh", "-c"]
    assert WORKERS["restartPolicy"] == "OnFailure"
    assert 1024 % WORKERS["replicas"] == 0
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,), (mount,) = POD["volumes"], CONTAINER["volumeMounts"]
    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert volume["name"] == mount["name"]
    assert f"--output {mount['mountPath']}/" in SCRIPTS["tfjob"]
    (threads,) = CONTAINER["env"]
    assert threads["value"] == CONTAINER["resources"]["limits"]["cpu"]


@pytest.mark.parametrize(("exists", "option"), [(False, "--data"), (True, "--resume")])
def test_a_slurm_task_knows_its_place_and_whether_to_resume(tmp_path, exists, option):
    """Run with a scontrol and a keras-vae that only say what they were given."""
    commands = {
        "scontrol": 'test "$*" = "show hostnames n[1-3]" && printf "n1\\nn2\\nn3\\n"',
        "keras-vae": 'printf "%s\\n" "$TF_CONFIG" "$@"',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    if exists:
        (tmp_path / "runs/mnist").mkdir(parents=True)
        (tmp_path / "runs/mnist/config.json").touch()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_STEP_NODELIST": "n[1-3]"}
    config, *arguments = subprocess.run(
        [ROOT / "docs/cluster/slurm.sh"],
        env=environment | {"SLURM_NODEID": "2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert json.loads(config) == {
        "cluster": {"worker": ["n1:2222", "n2:2222", "n3:2222"]},
        "task": {"type": "worker", "index": 2},
    }
    assert arguments[:2] == ["train", option]
    assert ("--overwrite" in arguments, "--strategy" in arguments) == (False, True)


def test_the_hosting_runs_targets_of_the_makefile():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    matrix = jobs["make"]["strategy"]["matrix"]
    lines = [*matrix["targets"], *(row["targets"] for row in matrix["include"])]
    named = {target for line in lines for target in line.split()}
    assert named == {"check", "test", "test-lowest", "test-newest"}
    assert named <= make_targets(ROOT / "Makefile")
