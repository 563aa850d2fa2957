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

from m3di import generate
from m3di.data import LOCK, locked
from m3di.errors import M3diError
from m3di.system import lock as lock_module
from tests.conftest import FakeRenderPool, fake_options

HOLD = (
    "import sys, time; from pathlib import Path; from m3di.system.lock import locked\nwith locked(Path(sys.argv[1])): "
)


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


class Clock:
    """Takes the place of time for the lock: it goes on by a beat where its owner waits for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        touch = os.utime
        monkeypatch.setattr(lock_module.time, "time", lambda: self.now)
        monkeypatch.setattr(lock_module.os, "utime", lambda path: touch(path, (self.now, self.now)))
        touch_supports = {*os.supports_fd, os.utime}
        monkeypatch.setattr(os, "supports_fd", touch_supports)

    def set(self, path: Path) -> None:
        os.utime(path)


def elsewhere(path: Path) -> None:
    """Make a lock one of another machine, whose kernel we cannot ask."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}))


def is_refused(folder: Path) -> bool:
    try:
        with locked(folder):
            return False
    except M3diError:
        return True


def test_the_heart_beats_often_enough_for_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file's age decides: an owner who lives is never taken for dead, not even with beats that were lost; a
    dead one is, after the limit and not before.
    """
    monkeypatch.setattr(lock_module, "fcntl", None)
    clock = Clock(monkeypatch)
    n_beats = 40

    class Waits:
        """In the place of the event that ends the thread of beats: it lets time go by."""

        n = 0

        def wait(self, timeout: float) -> bool:
            self.n += 1
            for _ in range(10):  # each look is at another moment between two beats
                clock.now += timeout / 10
                assert is_refused(tmp_path)
            return self.n > n_beats

    with locked(tmp_path) as held:
        elsewhere(tmp_path / LOCK)
        clock.set(tmp_path / LOCK)
        began = clock.now
        lock_module._beat(held, Waits())  # type: ignore[arg-type]
        assert clock.now - began > 2 * lock_module.STALE_S
        held.beat()
        for _ in range(10):  # ten beats are lost
            clock.now += lock_module.BEAT_S
            assert is_refused(tmp_path)
        held.beat()
        held.check()
        clock.now += lock_module.STALE_S - 0.5
        assert is_refused(tmp_path)
        clock.now += 1.0
        assert not is_refused(tmp_path)


def test_the_owner_beats_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT_S", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (1, 1))
        while (tmp_path / LOCK).stat().st_mtime == 1:
            time.sleep(0.01)


@pytest.mark.parametrize("how", ["in its place", "written over", "removed"])
def test_a_lock_is_released_only_by_its_owner(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner was held up for longer than the limit, and another machine has taken its place."""
    path = tmp_path / LOCK
    theirs = json.dumps({"host": "elsewhere", "pid": 7, "since": "2026-01-01T00:00:00", "token": "theirs"})
    with locked(tmp_path) as held:
        held.check()
        if how == "written over":
            path.write_text(theirs)
        else:
            path.unlink()
            if how == "in its place":
                path.write_text(theirs)
        held.beat()
        if how == "removed":
            held.check()  # nobody else is there
        else:
            with pytest.raises(M3diError, match=r"has taken over this folder(?s:.)*process 7 on elsewhere"):
                held.check()
    assert path.exists() is (how != "removed")
    assert how == "removed" or path.read_text() == theirs


def test_a_beat_that_cannot_be_told_from_a_loss_is_none(tmp_path: Path) -> None:
    """A server that does not answer, or a new owner who is just writing: the next beat knows."""
    with locked(tmp_path) as held:
        content = (tmp_path / LOCK).read_bytes()
        (tmp_path / LOCK).write_bytes(b"")
        held.beat()
        held.check()
        (tmp_path / LOCK).write_bytes(content)
    assert not list(tmp_path.iterdir())


def test_a_run_whose_lock_is_lost_ends(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    out = tmp_path / "it"
    seen: list[int] = []

    def lose(done: int, total: int) -> None:
        seen.append(done)
        if done == 5:
            (out / LOCK).write_text(json.dumps({"token": "theirs", "pid": 7}))
            while True:  # until its heart beats
                time.sleep(0.01)
                if beats:
                    return

    beats: list[bool] = []
    beat = lock_module.HeldLock.beat

    def noted(held: lock_module.HeldLock) -> None:
        beat(held)
        beats.extend([True] * held._is_lost)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock_module, "BEAT_S", 0.01)
        patch.setattr(lock_module.HeldLock, "beat", noted)
        with pytest.raises(M3diError, match=r"has taken over(?s:.)*process 7(?s:.)*nothing finished is lost"):
            generate.render(fake_options(out), lose)
    assert seen == list(range(6))
    assert (out / LOCK).exists()


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / LOCK).symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(OSError, match="symbolic link"), locked(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_owner_who_has_not_yet_said_so_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes between the first one's lock and its word."""
    read = lock_module._owner
    answers = iter([{}, {}, {}])
    with locked(tmp_path):
        monkeypatch.setattr(lock_module, "_owner", lambda path: next(answers, None) or read(path))
        with pytest.raises(M3diError, match=rf"process {os.getpid()} on "), locked(tmp_path):
            pass
        monkeypatch.setattr(lock_module, "_owner", read)


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
    take, n_taken = lock_module.take_kernel_lock, 0

    def removed_at_first(descriptor: int) -> bool | None:
        nonlocal n_taken
        n_taken += 1
        if n_taken == 1:
            (tmp_path / LOCK).unlink()
        return take(descriptor)

    monkeypatch.setattr(lock_module, "take_kernel_lock", removed_at_first)
    with locked(tmp_path):
        assert n_taken == 2
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
