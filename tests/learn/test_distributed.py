"""Several processes together: the gradient of the whole batch, as one process has it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from m3di.cli.train import train
from m3di.errors import UsageError
from m3di.learn import TrainConfig, load_encoders, train_on
from m3di.learn.training.checkpoint import latest_checkpoint
from m3di.learn.training.config import config_from_json
from m3di.learn.training.distributed import Processes, check_divides, gather, joined_world
from m3di.learn.training.tensor_file import read_tensors

CONFIG = TrainConfig(
    n_steps=3,
    batch_size=8,
    hidden_size=8,
    lr=0.01,
    precision="fp32",
    image_encoder="tiny",
    text_encoder="tiny",
    learn_temperature=True,
    clip_norm=1e9,
    tensorboard=False,
)
# One step of stochastic gradient descent would show gradients; Adam's first moments show them as well: (1 - beta1) g.
SCRIPT = """
import sys, json, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.learn.conftest import FakePairs, register_tiny
from m3di.learn import train_on
from m3di.learn.training.config import config_from_json
register_tiny()
torch.set_num_threads(1)
for config in json.loads(sys.argv[3]):
    config = config_from_json(config)
    train_on(FakePairs(), Path(sys.argv[2]) / f"{config.negatives}-{config.n_steps}", config)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_together(root, configs, n_processes=2):
    arguments = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[2]), str(root)]
    arguments.append(json.dumps([vars(config) for config in configs]))
    world = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            arguments, env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE
        )
        for rank in range(n_processes)
    ]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()


def moments(run):
    state, _ = read_tensors(latest_checkpoint(run) / "training.safetensors")
    return {name: each for name, each in state.items() if name.endswith("exp_avg")}


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(make_pairs, tiny_encoder, tmp_path):
    configs = [replace(CONFIG, n_steps=1), CONFIG, replace(CONFIG, n_steps=1, negatives="all")]
    configs.append(replace(CONFIG, n_steps=2, accumulate=2))
    run_together(tmp_path / "two", configs)
    for config in configs:
        name = f"{config.negatives}-{config.n_steps}"
        train_on(make_pairs(), tmp_path / "one" / name, config)
        one, two = moments(tmp_path / "one" / name), moments(tmp_path / "two" / name)
        assert one.keys() == two.keys()
        assert "optimizer.loss.log_temperature.exp_avg" in one
        for parameter, wanted in one.items():
            torch.testing.assert_close(two[parameter], wanted, rtol=1e-4, atol=1e-7)
            assert wanted.abs().max() > 1e-6, parameter
        weights = [load_encoders(tmp_path / each / name).image.state_dict() for each in ("one", "two")]
        torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)
        assert json.loads((tmp_path / "two" / name / "config.json").read_text())["world_size"] == 2


ENCODERS = """
from m3di.learn import register_image_encoder, register_text_encoder
from tests.learn.conftest import TinyEncoder, TinyText
register_image_encoder("quiet", lambda *sizes: TinyEncoder(*sizes, batch_norm=False))
register_text_encoder("quiet", TinyText)
"""


@pytest.mark.slow
def test_torchrun_starts_the_command_and_gives_the_weights_of_one_process(fake_dataset, tmp_path):
    """As docs and help have it, with the two dashes."""
    (tmp_path / "quiet_encoders.py").write_text(ENCODERS)
    folder = Path(sys.executable).parent
    torchrun = [folder / "torchrun", "--standalone", "--nproc-per-node", 2, "--no-python", "--"]
    command = [folder / "m3di", "train", "--data", fake_dataset, "--import", "quiet_encoders"]
    command += ["--image-encoder", "quiet", "--text-encoder", "quiet", "--hidden-size", 8, "--steps", 3]
    command += ["--batch-size", 8, "--lr", 0.01, "--clip-norm", 1e9, "--precision", "fp32", "--no-tensorboard"]
    command += ["--device", "cpu", "--threads", 1]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for name, start in (("one", []), ("two", torchrun)):
        words = [str(word) for word in (*start, *command, "--run", name)]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("3 steps in") == 1, done.stdout
    assert json.loads((tmp_path / "two" / "config.json").read_text())["world_size"] == 2
    one, two = (
        read_tensors(latest_checkpoint(tmp_path / each) / "image_encoder.safetensors")[0] for each in ("one", "two")
    )
    one |= read_tensors(latest_checkpoint(tmp_path / "one") / "text_encoder.safetensors")[0]
    two |= read_tensors(latest_checkpoint(tmp_path / "two") / "text_encoder.safetensors")[0]
    assert one.keys() == two.keys() and len(one) == 5
    for parameter, wanted in one.items():
        torch.testing.assert_close(two[parameter], wanted, rtol=1e-3, atol=1e-5)


def test_the_docs_and_the_help_write_the_two_dashes():
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    for text in (page, train.help):
        commands = re.findall(r"`(torchrun [^`]*)`", text)
        assert commands and all(" --no-python -- m3di train" in command for command in commands)


def test_alone_nothing_is_gathered():
    z = torch.ones(2, 3)
    with joined_world("cpu") as world:
        assert world == Processes(0, 1)
        assert gather(z, world) is z
        assert world.agreed(lambda: "chosen") == "chosen"
        world.wait()


def test_each_process_says_which_gpu_is_its_own(monkeypatch):
    """NCCL alone would guess it."""
    said = {}

    def init_process_group(backend, device_id=None):
        said.update(backend=backend, device_id=device_id)

    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", init_process_group)
    monkeypatch.setattr("atexit.register", lambda _end: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: said.update(number=number))
    with joined_world("cuda") as world:
        assert world == Processes(3, 4, 1)
    assert said == {"backend": "nccl", "device_id": torch.device("cuda", 1), "number": 1}
    with joined_world("cpu"):
        assert (said["backend"], said["device_id"]) == ("gloo", None)


def test_a_batch_that_cannot_be_shared_out():
    check_divides(8, Processes(0, 4))
    check_divides(8, Processes(0, 2), 4)
    with pytest.raises(UsageError, match=r"cut into equal parts(?s:.)*4 samples a process for 3 parts"):
        check_divides(8, Processes(0, 2), 3)
    with pytest.raises(UsageError, match=r"shared out evenly(?s:.)*10 for 4 processes(?s:.)*multiple of 4"):
        check_divides(10, Processes(0, 4))


def test_a_config_survives_json():
    assert config_from_json(json.loads(json.dumps(vars(replace(CONFIG, views=("a", "b")))))) == replace(
        CONFIG, views=("a", "b")
    )
