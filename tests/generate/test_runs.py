"""Whole runs around a stand-in for the workers: what is kept, what is said, what is logged."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from m3di import data, generate
from m3di.errors import M3diError, UsageError
from m3di.generate import estimate
from m3di.generate.repair import repair
from m3di.latents import load_spec
from m3di.render import Gpu, PoolEvent
from m3di.render import gpu as gpu_module
from tests.cli.test_main import failed, m3di
from tests.conftest import FakeRenderPool, fake_options, write_fake_dataset
from tests.generate.test_run import bytes_of


def log_of(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / data.LOG).read_text().splitlines()]


def test_a_run_and_its_log(fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    out = tmp_path / "it"
    generate.render(fake_options(out))
    assert bytes_of(out) == bytes_of(fake_dataset)
    log = log_of(out)
    assert [line["event"] for line in log if line["event"] != "image"] == ["start", *["shard"] * 5, "finish"]
    assert sum(line["event"] == "image" for line in log) == 28
    image = next(line for line in log if line["event"] == "image")
    assert image["image"] == "train 000000000, view image"
    assert (image["worker"], image["seconds"], image["memory_mb"]) == (0, 0.5, 0.0)
    data.verify(out)  # the log is no part of the dataset
    (out / "train-00001.tar").unlink()
    with (out / data.LOG).open("a") as stream:
        stream.write('{"time": "cut sho')
    generate.render(fake_options(out))
    lines = (out / data.LOG).read_text().splitlines()
    assert lines[len(log)] == '{"time": "cut sho'
    assert [json.loads(line)["event"] for line in lines[len(log) + 1 :]] == ["start", *["image"] * 8, "shard", "finish"]


def test_images_that_fail_are_listed_and_all_others_are_kept(
    fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "it"
    with monkeypatch.context() as patch:
        patch.setattr(pools, "bad", "train 00000001")  # 10 to 19, but not in a row
        with pytest.raises(M3diError, match=r"the last 10 images could not be rendered(?s:.)*it is bad"):
            generate.render(fake_options(out))
    with monkeypatch.context() as patch:
        patch.setattr(pools, "bad", "3, view")
        what = r"3 images could not be rendered(?s:.)*train 000000013, view image: it is bad(?s:.)*val 000000003"
        with pytest.raises(M3diError, match=what):
            generate.render(fake_options(out))
    names = {path.name for path in out.iterdir()}
    assert {"train-00000.tar", "train-00002.tar", "train-00001.tar.images.partial", "plan.json.partial"} <= names
    assert "dataset.json" not in names
    assert log_of(out)[-1]["event"] == "stop"
    assert [line["image"][:15] for line in log_of(out) if line["event"] == "failed"][-3:] == [
        *("train 000000013", "val 000000003, ", "test 000000003,")
    ]
    generate.render(fake_options(out))
    assert [pool.n_rendered for pool in pools.made][-1] == 3
    assert bytes_of(out) == bytes_of(fake_dataset)


def test_the_second_run_is_refused(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    (tmp_path / "it").mkdir()
    with data.locked(tmp_path / "it"), pytest.raises(M3diError, match="another process is rendering"):
        generate.render(fake_options(tmp_path / "it"))
    assert pools.made == []


@pytest.mark.slow
def test_of_two_that_are_started_together_the_first_goes_on(
    fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes while Blender starts for the first, whose folder was not there before."""
    out = tmp_path / "new" / "it"
    refused: list[str] = []

    def second(pool: FakeRenderPool) -> None:
        assert len(pools.made) == 1  # the second does not get so far
        with pytest.raises(M3diError, match=rf"another process is rendering(?s:.)*process {os.getpid()} on") as error:
            generate.render(fake_options(out))
        refused.append(str(error.value))

    monkeypatch.setattr(FakeRenderPool, "check", second)
    generate.render(fake_options(out))
    assert len(refused) == 1
    assert bytes_of(out) == bytes_of(fake_dataset)


def test_a_dataset_that_another_run_has_finished_meanwhile_is_taken(
    fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the lock."""
    out = tmp_path / "it"
    made = data.made_folder

    @contextlib.contextmanager
    def come_between(folder: Path) -> Iterator[None]:
        monkeypatch.setattr(data, "made_folder", made)
        generate.render(fake_options(out))
        with made(folder):
            yield

    monkeypatch.setattr(data, "made_folder", come_between)
    assert generate.render(fake_options(out)) == data.read_manifest(fake_dataset)
    assert len(pools.made) == 1
    assert bytes_of(out) == bytes_of(fake_dataset)


def test_where_blender_does_not_start_no_folder_is_left(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pool: FakeRenderPool) -> None:
        raise M3diError("no Blender")

    monkeypatch.setattr(FakeRenderPool, "check", fail)
    kept = tmp_path / "kept"
    kept.mkdir()
    for out in (tmp_path / "new" / "it", kept):
        with pytest.raises(M3diError, match="no Blender"):
            generate.render(fake_options(out))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert not list(kept.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_until_there_is_room(
    small_disk: Path, fake_dataset: Path, pools: type[FakeRenderPool]
) -> None:
    out = small_disk / "it"
    with pytest.raises(M3diError, match=r"the disk is full(?s:.)*No space left(?s:.)*make room, then run"):
        generate.render(fake_options(out))
    n_before = pools.made[0].n_rendered
    assert 5 < n_before < 28
    with pytest.raises(M3diError, match="the disk is full"):
        generate.render(fake_options(out))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    generate.render(fake_options(out))
    assert bytes_of(out) == bytes_of(fake_dataset)
    assert sum(pool.n_rendered for pool in pools.made) <= 28 + 2


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_a_full_disk(
    tmp_path: Path, fake_dataset: Path, pools: type[FakeRenderPool]
) -> None:
    """A limit on the size of files, at every moment of a run: journal, shard, table, document, manifest."""
    out = tmp_path / "it"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1_000, 10_000, 20_000, 27_000, 30_000, 40_000, 50_000, 60_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(M3diError, match=r"the disk is full|cannot be written(?s:.)*File too large"):
                generate.render(fake_options(out))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    generate.render(fake_options(out))
    assert bytes_of(out) == bytes_of(fake_dataset)


@pytest.mark.slow
def test_what_a_kill_after_the_last_word_leaves_is_removed(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    """Killed between the manifest and the end."""
    options = fake_options(tmp_path / "it")
    generate.render(options)
    whole = bytes_of(options.out)
    data.note_plan(options.out, generate.make_plan(load_spec("m3di"), options))
    (options.out / "train-00000.tar.images.partial").touch()
    generate.render(options)
    assert bytes_of(options.out) == whole
    data.verify(options.out)


def test_dry_run(tmp_path: Path, pools: type[FakeRenderPool], fake_dataset: Path) -> None:
    out = tmp_path / "it"
    planned = generate.dry_run(fake_options(out, n_train=20_000, n_val=0, shard_size=1000))
    assert not out.exists()
    assert planned.n_samples == {"train": 20_000, "val": 0, "test": 4}
    assert (planned.n_shards, planned.n_done, planned.n_measured) == (21, 0, 4)
    assert planned.hours == pytest.approx(20_004 / planned.images_per_s / 3600)
    real = sum(path.stat().st_size for path in fake_dataset.glob("train-*.tar")) / 20
    assert planned.sample_bytes == pytest.approx(real, rel=0.25)  # archives end in zeros
    assert "train 20,000, val 0, test 4; 1 image each" in str(planned)
    assert generate.dry_run(fake_options(fake_dataset)).n_done == 28
    done = m3di("render", "--dry-run", "--n", 100, "--out", out, "--size", 32)
    assert "nothing was written" in done.stdout
    assert not out.exists()


def test_a_dry_run_plans_what_the_same_command_would_render(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    out = tmp_path / "it"
    options = fake_options(out)  # shards of 8, 8, 4 training samples, then one of val, one of test
    planned = generate.dry_run(options, machines=generate.Machines(shards="2/2"))
    assert planned.n_samples == {"train": 8, "val": 4, "test": 0}
    assert (planned.n_shards, planned.n_tables, planned.n_done) == (2, 0, 0)
    assert f"into {out}, part 2/2, 32 px" in str(planned)
    assert not out.exists()
    with pytest.raises(UsageError, match=r"no such part(?s:.)*3/2"):
        generate.dry_run(options, machines=generate.Machines(shards="3/2"))
    with pytest.raises(UsageError, match=r"--dry-run measures this machine(?s:.)*--ray auto(?s:.)*leave --ray out"):
        generate.dry_run(options, machines=generate.Machines(ray="auto"))
    with pytest.raises(UsageError, match="--staging is of no use here"):
        generate.dry_run(options, machines=generate.Machines(staging=tmp_path))


@pytest.mark.slow
def test_a_dry_run_counts_the_shards_that_are_at_a_url(
    bucket: str, tmp_path: Path, pools: type[FakeRenderPool], fake_dataset: Path
) -> None:
    folder = data.open_folder(f"{bucket}/a-dry-run")
    options = replace(fake_options(tmp_path), out=str(folder))
    spec = options.load_spec()
    data.claim(folder, generate.make_plan(spec, options.resolved(spec)))
    folder.put(fake_dataset / "train-00000.tar", "train-00000.tar")
    planned = generate.dry_run(options)
    assert (planned.n_done, planned.n_shards, planned.n_tables) == (8, 5, 3)
    assert f"into {folder}" in str(planned)
    with pytest.raises(M3diError, match="holds a different dataset"):
        generate.dry_run(replace(options, seed=1))


@pytest.mark.slow
def test_roads_that_write_no_log_tell_that_a_gpu_loads_its_kernels(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it", gpu=True)
    (root / "val-00000.tar").unlink()

    def check(pool: FakeRenderPool) -> None:
        pool.watch(PoolEvent("warm-up", 0, why="Card loads its kernels"))

    monkeypatch.setattr(pools, "check", check)
    seen: list[PoolEvent] = []
    generate.dry_run(fake_options(tmp_path / "new", gpu=True), watch=seen.append)
    generate.preview(fake_options(tmp_path / "new", gpu=True), 1, watch=seen.append)
    repair(root, watch=seen.append)
    assert [event.why for event in seen if event.kind == "warm-up"] == ["Card loads its kernels"] * 3


def test_the_speed_is_what_each_worker_makes_after_its_first_half() -> None:
    slow_start = [10.0, 11.0, 11.5, 12.0]  # two images a second once it runs
    assert estimate.rate([slow_start], 0.0) == 2.0
    assert estimate.rate([slow_start, [4.0, 8.0]], 0.0) == 2.25
    assert estimate.rate([[5.0]], 1.0) == 0.25
    assert estimate.rate([], 0.0) == math.inf


@pytest.mark.slow
def test_a_gpu_is_in_the_manifest_and_in_the_log_and_is_no_part_of_what_the_data_are(
    fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_module, "driver_version", lambda backend: "580.1")
    options = fake_options(tmp_path / "it")
    for name in ("Card", "Other"):  # stopped on one card, continued on another
        monkeypatch.setattr(pools, "gpus", [Gpu("CUDA", "CUDA_0000:01:00", name)])
        monkeypatch.setattr(pools, "bad", f"test {data.sample_key(3)}" if name == "Card" else "nothing")
        with contextlib.nullcontext() if name == "Other" else pytest.raises(M3diError, match="could not be rendered"):
            generate.render(options)
    devices = ("Card (CUDA, driver 580.1)", "Other (CUDA, driver 580.1)")
    manifest = data.read_manifest(options.out)
    assert manifest.devices == devices
    assert [line["gpus"] for line in log_of(options.out) if line["event"] == "start"] == [[each] for each in devices]
    assert manifest.fingerprint == data.read_manifest(fake_dataset).fingerprint
    assert not list(options.out.glob("*.partial"))
    assert devices[1] in data.info(options.out)
    assert "devices" not in json.loads((fake_dataset / data.MANIFEST).read_bytes())
    joined = data.subset(options.out, tmp_path / "part", n=2)
    assert joined.devices == devices
    data.verify(options.out)


def test_a_gpu_that_rendered_nothing_is_not_named(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images are there: the run that goes on only writes tables and manifest."""
    monkeypatch.setattr(gpu_module, "driver_version", lambda backend: "580.1")
    options = fake_options(tmp_path / "it", n_train=2, n_val=1, n_test=1)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pools, "gpus", [Gpu("CUDA", "CUDA_0000:01:00", "Card")])
    with monkeypatch.context() as patch:
        patch.setattr("m3di.generate.run.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            generate.render(options)
    monkeypatch.setattr(pools, "gpus", [Gpu("CUDA", "CUDA_0000:01:00", "Other")])
    generate.render(options)
    assert [pool.n_rendered for pool in pools.made] == [4, 0]
    assert data.read_manifest(options.out).devices == ("Card (CUDA, driver 580.1)",)


def test_gpu_options(tmp_path: Path) -> None:
    failed(m3di("render", "--gpu-devices", "0,x", "--gpu", cwd=tmp_path), 2, "--gpu-devices takes numbers", "0,x")
    for name, value in {"gpu_devices": (0,), "gpu_backend": "cuda"}.items():
        with pytest.raises(UsageError, match=r"rendering is on the CPU(?s:.)*add --gpu"):
            generate.render(fake_options(tmp_path / "x", **{name: value}))
    with pytest.raises(UsageError, match=r"unknown GPU back end(?s:.)*OPTIX, CUDA(?s:.)*did you mean 'CUDA'"):
        generate.render(fake_options(tmp_path / "x", gpu=True, gpu_backend="cudda"))


@pytest.mark.parametrize(("name", "value"), [("worker_memory_gb", 0.0), ("image_timeout_s", 0.5)])
def test_limits_out_of_range(name: str, value: float, tmp_path: Path) -> None:
    option = {"worker_memory_gb": "--worker-memory", "image_timeout_s": "--image-timeout"}[name]
    with pytest.raises(UsageError, match=f"{option} is too small"):
        generate.render(fake_options(tmp_path / "x", **{name: value}))
    for wrong in (math.nan, math.inf):
        with pytest.raises(UsageError, match=f"{option} is not a finite number(?s:.)*{wrong}"):
            generate.render(fake_options(tmp_path / "x", **{name: wrong}))
