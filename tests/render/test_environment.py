"""What Blender sees of the environment, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from m3di.render import QUALITIES, RenderJob, RenderPool, RenderSettings
from m3di.render import scratch as scratch_module
from m3di.render.environment import is_hidden, prepare_blender
from m3di.render.gpu_environment import STATES, gpu_environment
from m3di.render.scratch import OWNER, PREFIX, UNOWNED_S, Scratch, remove_abandoned
from tests.render.test_pool import VALUES


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("OCIO", True),
        ("BLENDER_SYSTEM_SCRIPTS", True),
        ("BLENDER_USER_RESOURCES", True),
        ("CYCLES_CONCURRENT_STATES_FACTOR", True),
        ("CYCLES_CUDA_ADAPTIVE_COMPILE", True),
        ("OCIO_ACTIVE_VIEWS", False),
        ("MY_BLENDER_THING", False),
        ("CUDA_VISIBLE_DEVICES", False),
        ("PATH", False),
    ],
)
def test_what_blender_does_not_see(name: str, hidden: bool) -> None:
    assert is_hidden(name) is hidden


def test_before_blender_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    kept = dict(os.environ)
    try:
        os.environ |= {"OCIO": "/x", "BLENDER_SYSTEM_SCRIPTS": "/y", "CYCLES_ANY": "1", STATES: "9", "MINE": "kept"}
        prepare_blender(tmp_path / "worker", {STATES: "0.125"})
        assert {"OCIO", "BLENDER_SYSTEM_SCRIPTS", "CYCLES_ANY"}.isdisjoint(os.environ)
        assert (os.environ[STATES], os.environ["MINE"]) == ("0.125", "kept")
        assert os.environ["TMPDIR"] == os.environ["TEMP"] == tempfile.gettempdir() == str(tmp_path / "worker")
        assert (tmp_path / "worker").stat().st_mode & 0o777 == 0o700
    finally:
        os.environ.clear()
        os.environ |= kept


def test_the_number_of_path_states_is_the_users_to_set(tmp_path: Path) -> None:
    """It changes memory and time, no image; workers are given it, since they do not see it."""
    home = {"HOME": str(tmp_path)}
    assert gpu_environment(home)[STATES] == "0.125"
    assert gpu_environment({**home, STATES: "2"})[STATES] == "2"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scratch_module, "MEMORY", tmp_path)
    return tmp_path


def test_a_scratch_folder_is_ours_and_goes(base: Path) -> None:
    scratch = Scratch()
    folder = Path(scratch.name)
    assert folder.parent == base
    assert folder.stat().st_mode & 0o777 == 0o700
    other = Scratch()  # does not take it for an abandoned one
    assert folder.exists()
    scratch.close()
    scratch.close()
    assert not folder.exists()
    other.close()
    assert not list(base.iterdir())


def test_without_a_memory_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch = Scratch()
    assert Path(scratch.name).parent == tmp_path
    scratch.close()


@pytest.mark.slow
def test_what_a_killed_run_leaves_goes_with_the_next_one(base: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from m3di.render import scratch\n"
        "scratch.MEMORY = Path(sys.argv[1]); made = scratch.Scratch()\n"
        "(Path(made.name) / 'blender_abc').mkdir(); print(made.name, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(base)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        remove_abandoned(base)
        assert (folder / "blender_abc").exists()  # it lives
        process.kill()
    assert folder.exists()
    Scratch().close()
    assert not list(base.iterdir())


def test_what_is_not_ours_to_remove_stays(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / f"{PREFIX}just-made").mkdir()
    (base / "m3di-other").mkdir()
    (base / "home").mkdir()
    (base / "home" / OWNER).touch()
    (base / f"{PREFIX}link").symlink_to(base / "home")
    old = base / f"{PREFIX}old"
    old.mkdir()
    long_ago = time.time() - 2 * UNOWNED_S
    os.utime(old, (long_ago, long_ago))
    theirs = base / f"{PREFIX}theirs"
    theirs.mkdir()
    (theirs / OWNER).touch()
    us = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    remove_abandoned(base)
    assert len(list(base.iterdir())) == 6
    monkeypatch.setattr(os, "getuid", lambda: us)
    remove_abandoned(base)
    assert {path.name for path in base.iterdir()} == {f"{PREFIX}just-made", "m3di-other", "home", f"{PREFIX}link"}
    assert (base / "home" / OWNER).exists()


SMALL = RenderSettings(16, QUALITIES["draft"])


@pytest.mark.slow
def test_no_variable_changes_an_image_and_nothing_stays(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that hides the object at every render; a colour configuration that is not there."""
    script = base / "scripts" / "startup" / "evil.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"""
import bpy
open({str(base / "ran")!r}, "w").close()
@bpy.app.handlers.persistent
def hide(*_):
    bpy.data.objects["object"].hide_render = True
def register():
    bpy.app.handlers.render_pre.append(hide)
def unregister(): pass
""")
    monkeypatch.setenv("TMPDIR", str(base))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = {path.name for path in base.iterdir()}
    with RenderPool(SMALL, 1) as pool:
        (plain,) = pool.render([RenderJob("plain", VALUES)])
        scratch = Path(pool._scratch.name)
        assert list(scratch.glob("worker-*/blender_*"))  # there, and not beside
        assert {path.name for path in base.iterdir()} == {*before, scratch.name}
    assert {path.name for path in base.iterdir()} == before
    monkeypatch.setenv("BLENDER_SYSTEM_SCRIPTS", str(base / "scripts"))
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(base / "scripts"))
    monkeypatch.setenv("OCIO", str(base / "nowhere.ocio"))
    with RenderPool(SMALL, 1) as pool:
        (image,) = pool.render([RenderJob("again", replace(VALUES))])
    assert not (base / "ran").exists()
    assert image == plain


@pytest.mark.slow
def test_all_killed_at_once_leave_nothing_for_long(base: Path) -> None:
    """As a scheduler kills a job: nobody is left to clear up but the next run."""
    code = (
        "import sys; from pathlib import Path; from m3di.render import scratch; scratch.MEMORY = Path(sys.argv[1])\n"
        "from tests.render.test_environment import SMALL, VALUES, RenderJob, RenderPool\n"
        "with RenderPool(SMALL, 1) as pool:\n"
        "    list(pool.render([RenderJob('a', VALUES)])); print('rendered', flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(base)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "rendered\n"
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=60)
    assert list(base.glob(f"{PREFIX}*/worker-*/blender_*"))
    Scratch().close()
    assert not list(base.iterdir())
