from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from m3di.data import LOCK, locked
from m3di.data import lock as lock_module
from m3di.errors import M3diError

HOLD = "import sys, time; from pathlib import Path; from m3di.data import locked\nwith locked(Path(sys.argv[1])): "


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the folder."""
    code = HOLD + "print('held', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_refused_and_told_who_is_there(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    where = rf"process {owner.pid} on {socket.gethostname()}, since 20"
    with pytest.raises(M3diError, match=rf"another process is rendering(?s:.)*{where}(?s:.)*delete"), locked(tmp_path):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):  # it is dead: the kernel has let go
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_locks_of_other_names_do_not_mind(tmp_path: Path) -> None:
    with locked(tmp_path), locked(tmp_path, "part-1.lock"):
        assert len(list(tmp_path.iterdir())) == 2
        with pytest.raises(M3diError, match="another process is rendering"), locked(tmp_path):
            pass


@pytest.mark.parametrize("kernel", ["has locks", "has none"])
def test_another_machine_holds_it_while_the_file_is_touched(
    kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems may keep the kernel's locks from other machines, or have none."""
    if kernel == "has none":
        monkeypatch.setattr(lock_module, "fcntl", None)
    path = tmp_path / LOCK
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00"}))
    with pytest.raises(M3diError, match="process 1 on elsewhere, since 2026-01-01"), locked(tmp_path):
        pass
    long_ago = time.time() - 2 * lock_module.STALE_S
    os.utime(path, (long_ago, long_ago))
    with locked(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.timeout(60)
def test_the_owner_touches_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT_S", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (1, 1))
        while (tmp_path / LOCK).stat().st_mtime == 1:
            time.sleep(0.01)


def test_an_empty_lock_of_a_crash_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with locked(tmp_path):
        pass


def test_an_owner_that_is_late_by_some_beats_still_holds_it(tmp_path: Path) -> None:
    """Its machine may be busy, or its disk slow: 5 minutes are 15 beats."""
    path = tmp_path / LOCK
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00"}))
    late = time.time() - 10 * lock_module.BEAT_S
    os.utime(path, (late, late))
    with pytest.raises(M3diError, match="process 1 on elsewhere"), locked(tmp_path):
        pass


def test_a_lock_whose_owner_removes_it_meanwhile_is_taken_as_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's lock on a file that is gone keeps nobody out."""
    take, n_taken = lock_module._take, 0

    def removed_at_first(descriptor: int) -> bool | None:
        nonlocal n_taken
        n_taken += 1
        if n_taken == 1:
            (tmp_path / LOCK).unlink()
        return take(descriptor)

    monkeypatch.setattr(lock_module, "_take", removed_at_first)
    with locked(tmp_path):
        assert n_taken == 2
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
