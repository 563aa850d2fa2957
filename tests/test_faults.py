"""Real runs, killed: whatever happens at whatever moment, the next run finishes with the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from m3di import data, generate
from tests.generate.test_run import bytes_of

pytestmark = pytest.mark.slow

N_TRAIN, SHARD_SIZE, N_WORKERS = 40, 7, 2
ARGUMENTS = (
    *("render", "--n", N_TRAIN, "--n-val", 1, "--n-test", 1, "--size", 8, "--quality", "draft"),
    *("--shard-size", SHARD_SIZE, "--workers", N_WORKERS),
)


def _heed_ctrl_c() -> None:
    """A shell without job control starts what runs in the background, and so these tests, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """`m3di render` in a process group of its own, as a shell starts it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.n_before = n_starts(out)
        code = "from m3di.cli.main import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, ARGUMENTS), "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_ctrl_c,
        )
        self.children: set[psutil.Process] = set()

    def wait_for_images(self) -> bool:
        """Wait until this run renders; False where it is done already."""
        while self.process.poll() is None:
            if n_starts(self.out) > self.n_before:
                return True
            time.sleep(0.02)
        return False

    def workers(self) -> list[psutil.Process]:
        """Its worker processes, dead or alive since."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.children |= {child for child in found if "spawn_main" in " ".join(_command(child))}
        return [child for child in self.children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def end(self, number: int) -> str:
        """Send a signal to the process; what it says, once no worker of it is left."""
        self.workers()
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGINT:  # Ctrl-C is for all processes of the group
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        assert psutil.wait_procs(self.children, timeout=60)[1] == []  # orphans notice, and end themselves
        return said


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@contextmanager
def running(out: Path) -> Iterator[Run]:
    run = Run(out)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.communicate()


def log_of(out: Path) -> list[dict[str, Any]]:
    """Whole lines of the log, of all runs."""
    lines = (out / data.LOG).read_text().splitlines() if (out / data.LOG).exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # a run was killed while it wrote
            continue
    return found


def n_starts(out: Path) -> int:
    """How many runs have begun to render."""
    return sum(line["event"] == "start" for line in log_of(out))


def rendered(out: Path) -> list[str]:
    """Name of each image in the log, in order, again where it was rendered again."""
    return [line["image"] for line in log_of(out) if line["event"] == "image"]


def kept(out: Path) -> set[str]:
    """Names of the images that are on the disk, in finished shards and in unfinished ones."""
    names = set()
    for split in ("train", "val", "test"):
        for shard in [*out.glob(f"{split}-*.tar"), *out.glob(f"{split}-*.tar.images.partial")]:
            path = shard.with_name(re.sub(r"\.images\.partial$", "", shard.name))
            keys = {key for key, _ in data.finished_images(path)}
            keys |= {sample.key for sample in data.read_shard(path)} if path.exists() else set()
            names |= {f"{split} {key}, view image" for key in keys}
    return names


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted") / "it"
    options = {"size_px": 8, "quality": "draft", "shard_size": SHARD_SIZE, "n_workers": 1}
    generate.render(generate.RenderOptions(out=out, n_train=N_TRAIN, n_val=1, n_test=1, **options))  # type: ignore[arg-type]
    return bytes_of(out)


def test_killed_at_twenty_random_moments(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    """The process is killed, a worker is killed, or the folder is copied in mid-run and the copy goes on."""
    moments = random.Random(5)
    faults = ["worker"] * 15 + ["parent"] * 3 + ["copy"] * 2
    moments.shuffle(faults)
    out = tmp_path / "run-0"
    while faults:
        before, n_before = kept(out), len(rendered(out))
        with running(out) as run:
            fault = suffer(run, faults, moments)
            again = tmp_path / f"run-{len(faults) + 1}"
            if fault == "copy":
                copy_in_mid_run(out, again)
            run.end(signal.SIGKILL)
        now = set(rendered(out)[n_before:])
        assert not before & now  # no finished image is rendered again
        assert len(now - kept(out)) <= N_WORKERS  # and no more than those in flight are lost
        if run.process.returncode == 0:  # too quick for us: once more, from the start
            assert bytes_of(out) == uninterrupted
        out = again if fault == "copy" or run.process.returncode == 0 else out
    with running(out) as run:
        assert run.process.wait(timeout=120) == 0
    assert bytes_of(out) == uninterrupted
    data.verify(out)


def suffer(run: Run, faults: list[str], moments: random.Random) -> str:
    """Kill workers at random moments, until a fault comes that ends the run, or the run ends."""
    while faults and run.wait_for_images():
        time.sleep(moments.uniform(0.0, 0.6))
        fault = faults.pop()
        if fault != "worker":
            return fault
        if workers := run.workers():
            moments.choice(workers).kill()
    return "parent"


def copy_in_mid_run(out: Path, again: Path) -> None:
    """Copy a folder while it is written: each file as it is at some moment."""
    again.mkdir()
    for path in sorted(out.iterdir()):
        try:
            shutil.copyfile(path, again / path.name)
        except FileNotFoundError:  # renamed meanwhile
            continue


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_in_good_order_when_asked_to(number: int, exit_code: int, tmp_path: Path) -> None:
    with running(tmp_path / "it") as run:
        assert run.wait_for_images()
        said = run.end(number)
    assert run.process.returncode == exit_code
    assert "Run the same command again to continue; what is finished is kept." in said
    assert "Traceback" not in said
    assert not (run.out / data.LOCK).exists()
    assert log_of(run.out)[-1]["event"] == "stop"
    assert log_of(run.out)[-1]["why"] == "interrupted"


def test_two_at_once(uninterrupted: dict[str, bytes], tmp_path: Path) -> None:
    """Started at the same moment, on a folder that is not there: one goes on, the other says who does."""
    out = tmp_path / "it"
    with running(out) as one, running(out) as other:
        said = {run.process.pid: run.process.communicate(timeout=120)[1] for run in (one, other)}
    first, second = sorted((one, other), key=lambda run: run.process.returncode)
    assert (first.process.returncode, second.process.returncode) == (0, 1)
    assert "another process is rendering into this folder" in said[second.process.pid]
    assert f"process {first.process.pid} on " in said[second.process.pid]
    assert bytes_of(out) == uninterrupted
