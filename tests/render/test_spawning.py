"""Rendering from scripts as people write them: the worker processes need nothing of the script."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from multiprocessing import spawn
from pathlib import Path

import pytest

from m3di.errors import UsageError
from m3di.render.spawning import SPAWN

SCRIPT = """\
print("the script runs", flush=True)
from pathlib import Path
from m3di.generate import RenderOptions, preview

def shown(n):
    options = RenderOptions(out=Path("x"), spec="m3di", size_px=16, quality="draft", n_workers=1)
    return preview(options, n).images["image"].shape

"""
POOL = """\
import multiprocessing
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(shown, [1, 2]))
"""
AGAIN = """\
import multiprocessing
print(shown(1), flush=True)
process = multiprocessing.get_context("spawn").Process(target=shown, args=(1,))
process.start()
process.join()
print("exit code", process.exitcode)
"""


def run(folder: Path, script: str, *, stdin: bool = False) -> tuple[str, str]:
    """Run a script to its end: what it prints, and its complaints."""
    path = folder / "script.py"
    path.write_text(script)
    command = [sys.executable, "-" if stdin else str(path)]
    typed = script if stdin else None
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=300, cwd=folder)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_without_a_guard_renders_and_runs_once(tmp_path: Path, stdin: bool) -> None:
    assert run(tmp_path, SCRIPT + "print(shown(1))\n", stdin=stdin) == ("the script runs\n(1, 16, 16, 3)\n", "")


@pytest.mark.slow
def test_a_worker_of_a_pool_renders(tmp_path: Path) -> None:
    expected = "the script runs\n[(1, 16, 16, 3), (2, 16, 16, 3)]\n"
    assert run(tmp_path, SCRIPT + POOL) == (expected, "")


@pytest.mark.slow
def test_a_process_of_the_script_s_own_that_runs_it_again_is_told_of_the_guard(tmp_path: Path) -> None:
    printed, complaints = run(tmp_path, SCRIPT + AGAIN)
    assert printed == "the script runs\n(1, 16, 16, 3)\nthe script runs\nexit code 1\n"
    assert complaints.count('put what it does under `if __name__ == "__main__":`') == 1


def test_what_is_started_while_its_parent_is_starting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UsageError, match=r"before it has begun its work(?s:.)*__main__"):
        SPAWN.Process(target=print).start()


@pytest.mark.slow
def test_a_daemon_is_a_daemon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    me = multiprocessing.current_process()
    monkeypatch.setitem(me._config, "daemon", True)  # type: ignore[attr-defined]
    process = SPAWN.Process(target=sys.exit, args=(7,))
    process.start()
    process.join()
    assert process.exitcode == 7
    assert me.daemon


def test_processes_of_other_threads_are_told_of_their_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one of ours starts, another thread spawns one of its own; afterwards, all is as it was."""
    whole, told = spawn.get_preparation_data, {}
    script = sys.modules["__main__"]  # pytest-xdist's has neither a name nor a file
    monkeypatch.setattr(script, "__spec__", None, raising=False)
    monkeypatch.setattr(script, "__file__", "/somewhere/script.py", raising=False)

    def popen(process: object) -> object:
        told["ours"] = spawn.get_preparation_data("a name")
        thread = threading.Thread(target=lambda: told.update(other=spawn.get_preparation_data("a name")))
        thread.start()
        thread.join()
        raise InterruptedError

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "_Popen", staticmethod(popen))
    with pytest.raises(InterruptedError):
        SPAWN.Process(target=print).start()
    main = {name for name in told["other"] if name.startswith("init_main")}
    assert len(main) == 1
    assert told["ours"].keys() == told["other"].keys() - main
    assert spawn.get_preparation_data is whole
