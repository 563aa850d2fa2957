"""Sweeps: which members there are, that finished ones are skipped, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from m3di.data import subset
from m3di.errors import M3diError, UsageError
from m3di.learn import TrainConfig
from m3di.learn.training import sweep_share
from m3di.learn.training.loading import n_cores
from m3di.learn.training.run_folder import read_config
from m3di.learn.training.sweep import (
    make_sweep,
    read_sweep,
    run_member,
    run_members,
    share_of,
    sweep_folder,
    write_sweep,
)
from m3di.learn.training.sweep_workers import _asked_of_ray, run_on_each_device
from m3di.system.signals import Terminated

TINY = TrainConfig(
    n_steps=2,
    batch_size=4,
    hidden_size=8,
    image_encoder="tiny",
    text_encoder="tiny",
    precision="fp32",
    tensorboard=False,
)


def test_members_are_all_combinations(tmp_path):
    sweep = make_sweep(tmp_path, replace(TINY, seed=7), ["encoding-size=1:3", "lr=1e-4,0.01"], n_seeds=2)
    assert len(sweep.members) == 12
    assert list(sweep.members)[:3] == [
        "encoding_size=1,lr=0.0001,seed=7",
        "encoding_size=1,lr=0.0001,seed=8",
        "encoding_size=1,lr=0.01,seed=7",
    ]
    config = sweep.config_of("encoding_size=3,lr=0.01,seed=8")
    assert config == replace(TINY, encoding_size=3, lr=0.01, seed=8)


def test_axes_of_every_type(tmp_path):
    axes = ["learn_temperature=true,false", "similarity=cosine,neg_squared_euclidean", "threads=1", "steps=5,6"]
    with pytest.raises(UsageError, match=r"'threads'(?s:.)*did you mean 'n_threads'"):
        make_sweep(tmp_path, TINY, axes)
    axes[2] = "n_threads=1"
    values = list(make_sweep(tmp_path, TINY, axes).members.values())
    assert len(values) == 8
    assert values[0] == {
        "learn_temperature": True,
        "similarity": "cosine",
        "n_threads": 1,
        "n_steps": 5,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["encoding_sizes=1:3"], "did you mean 'encoding_size'"),
        (["encoding_size"], "cannot be read"),
        (["encoding_size="], "cannot be read"),
        (["encoding_size=3:1"], "cannot be read"),
        (["encoding_size=1.5"], "cannot be read(?s:.)*1.5"),
        (["encoding_size=a:b"], "NAME=A:B"),
        (["learn_temperature=maybe"], "neither true nor false"),
        (["encoding_size=0:2"], "encoding_size is too small"),
        (["lr=1", "lr=2"], "swept twice"),
    ],
)
def test_axes_that_cannot_be(axes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        make_sweep(tmp_path, TINY, axes)


def test_no_seeds(tmp_path):
    with pytest.raises(UsageError, match="needs a seed"):
        make_sweep(tmp_path, TINY, [], n_seeds=0)


def test_shares_are_all_members_once(tmp_path):
    sweep = make_sweep(tmp_path, TINY, ["encoding_size=1:5"])
    shares = [share_of(sweep, f"{number}/3") for number in range(3)]
    assert sorted(itertools.chain(*shares)) == sorted(sweep.members)
    assert share_of(sweep, None) == list(sweep.members)
    for bad in ("3/3", "1", "a/b", "-1/2"):
        with pytest.raises(UsageError, match=r"share of a sweep cannot be read(?s:.)*0/4"):
            share_of(sweep, bad)


@pytest.mark.slow
def test_finished_members_are_skipped_and_failed_ones_tried_again(fake_dataset, tiny_encoder, tmp_path):
    sweep = make_sweep(fake_dataset, TINY, ["batch_size=4,32,8"])  # the split has 20 samples
    folder = tmp_path / "sweep"
    write_sweep(folder, sweep)
    stored = json.loads((folder / "sweep.json").read_text())
    assert stored["members"][0] == {"run": "batch_size=4,seed=0", "values": {"batch_size": 4, "seed": 0}}
    assert read_sweep(folder) == sweep

    steps = []

    def run_one(folder, name):
        return run_member(folder, name, lambda step, _loss: steps.append((name, step)))

    for expected in ([(name, step) for name in ("batch_size=4,seed=0", "batch_size=8,seed=0") for step in (1, 2)], []):
        with pytest.raises(M3diError, match=r"1 of 3 members(?s:.)*batch_size=32,seed=0: the batch is larger"):
            run_members(folder, list(sweep.members), run_one)
        assert steps == expected
        steps.clear()
    assert read_config(folder / "batch_size=8,seed=0")["config"]["batch_size"] == 8
    assert json.loads((folder / "batch_size=4,seed=0" / "summary.json").read_text())["n_steps"] == 2


def test_a_sweep_is_that_of_its_data(tiny_encoder, fake_dataset, tmp_path):
    data, folder = Path(shutil.copytree(fake_dataset, tmp_path / "data")), tmp_path / "sweep"
    sweep = make_sweep(data, TINY, [], n_seeds=2).on_its_data()
    assert read_config_of(folder, sweep)["data"]["fingerprint"] == sweep.fingerprint
    assert run_member(folder, "seed=0").n_steps == 2
    shutil.rmtree(data)
    subset(fake_dataset, data, n=10)  # as if it had been rendered again
    for again in (lambda: run_member(folder, "seed=1"), read_sweep(folder).on_its_data):
        with pytest.raises(M3diError, match="not the one that the sweep was begun with"):
            again()
    assert not (folder / "seed=1").exists()
    with pytest.raises(M3diError, match="already holds another sweep"):
        write_sweep(folder, make_sweep(data, TINY, [], n_seeds=2).on_its_data())
    write_sweep(tmp_path / "old", make_sweep(data, TINY, [], n_seeds=2))  # of before it was noted
    write_sweep(tmp_path / "old", make_sweep(data, TINY, [], n_seeds=2).on_its_data())
    moved = Path(shutil.move(data, tmp_path / "moved"))
    assert run_member(tmp_path / "old", "seed=1", data_root=moved).n_steps == 2


def read_config_of(folder, sweep):
    write_sweep(folder, sweep)
    return json.loads((folder / "sweep.json").read_text())


def test_a_sweep_finds_its_unfinished_folder(tmp_path):
    sweep, runs = make_sweep(tmp_path / "data", TINY, [], n_seeds=2), tmp_path / "runs"
    assert sweep_folder(runs, sweep) == runs / "data-sweep-001"
    write_sweep(runs / "data-sweep-001", sweep)
    assert sweep_folder(runs, sweep) == runs / "data-sweep-001"
    assert sweep_folder(runs, make_sweep(tmp_path / "data", TINY, [], n_seeds=3)) == runs / "data-sweep-002"
    for name in sweep.members:
        (runs / "data-sweep-001" / name).mkdir()
        (runs / "data-sweep-001" / name / "summary.json").write_text("{}")
    assert sweep_folder(runs, sweep) == runs / "data-sweep-002"


def test_folders_of_something_else(tmp_path):
    sweep = make_sweep(tmp_path, TINY, [], n_seeds=2)
    write_sweep(tmp_path / "a", sweep)
    write_sweep(tmp_path / "a", sweep)
    with pytest.raises(M3diError, match=r"another sweep(?s:.)*seed=0, seed=1"):
        write_sweep(tmp_path / "a", make_sweep(tmp_path, TINY, ["lr=1"], n_seeds=2))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "precious").touch()
    with pytest.raises(M3diError, match="must be new or empty"):
        write_sweep(tmp_path / "b", sweep)
    with pytest.raises(M3diError, match="holds no sweep"):
        read_sweep(tmp_path / "b")
    (tmp_path / "a" / "sweep.json").write_text("{}")
    with pytest.raises(M3diError, match="not that of a sweep"):
        read_sweep(tmp_path / "a")


def test_a_share_whose_members_fail(tmp_path, capsys):
    """What fails is one message and an exit code: here the data of a sweep are not there."""
    folder = tmp_path / "sweep"
    write_sweep(folder, make_sweep(tmp_path / "none", TINY, [], n_seeds=3))
    assert sweep_share.main([str(folder), "1/3"]) == 1
    assert re.search(
        r"Error: 1 of 1 members of the sweep failed(?s:.)*seed=1: there is no m3di dataset", capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_share_that_cannot_be_read_in_a_process_of_its_own(tmp_path):
    folder = tmp_path / "sweep"
    write_sweep(folder, make_sweep(tmp_path / "none", TINY, [], n_seeds=3))
    done = subprocess.run(sweep_share.command_of(folder, "3/3", ["math"]), capture_output=True, text=True)
    assert done.returncode == 2
    assert "the share of a sweep cannot be read" in done.stderr


@pytest.mark.parametrize(("interrupt", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_share_that_is_interrupted(interrupt, code, tmp_path, monkeypatch, capsys):
    def stop(*_args):
        raise interrupt

    write_sweep(tmp_path, make_sweep(tmp_path / "none", TINY, [], n_seeds=2))
    monkeypatch.setattr(sweep_share, "run_member", stop)
    assert sweep_share.main([str(tmp_path), "0/2"]) == code
    assert "Run the same command again to continue" in capsys.readouterr().err


def test_processes_of_a_sweep_share_the_cores(tmp_path, monkeypatch):
    folder, started = tmp_path / "sweep", []

    class Process:
        def __init__(self, command, env):
            started.append((command[4], env))
            assert command[1:4] == ["-m", "m3di.learn.training.sweep_share", str(folder)]

        def wait(self):
            for name in read_sweep(folder).members:
                (folder / name).mkdir(exist_ok=True)
                (folder / name / "summary.json").write_text("{}")

        def terminate(self):
            pass

    write_sweep(folder, make_sweep(tmp_path, TINY, [], n_seeds=4))
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(16)), raising=False)
    monkeypatch.setattr("subprocess.Popen", Process)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,9")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_on_each_device(folder, 3)
    assert [share for share, _ in started] == ["0/3", "1/3", "2/3"]
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in started] == ["5", "7", "9"]
    assert {(env["OMP_NUM_THREADS"], env["LOCAL_WORLD_SIZE"]) for _, env in started} == {("5", "3")}
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")  # in such a process
    assert n_cores() == 5
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    run_on_each_device(folder, 3)
    assert started[-1][1]["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("changes", "nodes", "expected"),
    [
        ({}, [{"CPU": 16.0}], (0, 1, None)),  # on the CPU one core a member, which loads by itself
        ({"n_workers": 3}, [{"CPU": 16.0}], (0, 4, 3)),
        ({"device": "auto"}, [{"CPU": 16.0}], (0, 1, None)),
        ({"device": "auto"}, [{"CPU": 16.0, "GPU": 1.0}], (1, 9, 8)),
        ({"device": "cuda"}, [{"CPU": 4.0}, {"CPU": 16.0, "GPU": 4.0}], (1, 4, 3)),  # a fair share of a node
        ({"device": "cuda"}, [{"CPU": 1.0, "GPU": 1.0}], (1, 1, 1)),
        ({"device": "cuda", "n_workers": 2}, [{"CPU": 16.0, "GPU": 1.0}], (1, 3, 2)),
        ({"device": "cuda", "n_workers": 0}, [{"CPU": 16.0, "GPU": 1.0}], (1, 1, 0)),
        ({"device": "cuda", "n_workers": 16}, [{"CPU": 64.0, "GPU": 8.0}], (1, 8, 16)),  # or cards would be idle
        ({"device": "cuda", "n_workers": 40}, [{"CPU": 8.0, "GPU": 1.0}], (1, 8, 40)),  # or it would wait for ever
    ],
)
def test_what_a_member_asks_of_a_cluster(changes, nodes, expected):
    asked = _asked_of_ray(replace(TINY, **changes), nodes)
    assert (asked.n_gpus, asked.n_cpus, asked.n_workers) == expected
