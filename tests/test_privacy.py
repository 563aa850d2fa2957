"""What may be published with a dataset says nothing of whoever made it: no machine, process, user or folder."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from pathlib import Path

import pytest

from m3di import data, generate
from m3di.errors import M3diError
from m3di.generate.log import LogFile, without_places
from m3di.latents import load_spec
from m3di.render import PoolEvent
from tests.conftest import FakePool, FakeRenderPool, fake_options

HOST, USER = "machine-of-joe.example.org", "joe-the-user"
SPEC = """
name: mine
extends: m3di
views:
  text:
    template: mine.yaml
"""


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(getpass, "getuser", lambda: USER)


def assert_says_nothing(folder: Path, tmp_path: Path) -> None:
    assert len(list(folder.rglob("*"))) > 5
    for path in folder.rglob("*"):
        assert not path.name.endswith((".lock", ".partial"))
        if path.is_file():
            content = path.read_bytes()
            for secret in (HOST, USER, str(tmp_path), str(Path.home()), str(Path.cwd())):
                if len(secret) > 1:
                    assert secret.encode() not in content, f"{path} says {secret}"


def a_spec(tmp_path: Path) -> str:
    """A spec with a template of the user's own."""
    folder = tmp_path / "secret project"
    folder.mkdir()
    templates = Path(__file__).parents[1] / "templates"
    (folder / "mine.yaml").write_text((templates / "minimal.yaml").read_text())
    (folder / "spec.yaml").write_text(SPEC)
    return str(folder / "spec.yaml")


@pytest.mark.slow
def test_a_rendered_dataset_its_log_and_its_exports(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    out = tmp_path / "it"
    spec = a_spec(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeRenderPool, "bad", "train 000000005")
        with pytest.raises(M3diError, match="1 image could not be rendered"):
            generate.render(fake_options(out, spec=spec))
    generate.render(fake_options(out, spec=spec))
    data.subset(out, tmp_path / "cut", n=3)
    data.export(out, "imagefolder", tmp_path / "exported")
    for folder in (out, tmp_path / "cut", tmp_path / "exported"):
        assert_says_nothing(folder, tmp_path)
    lines = [json.loads(line) for line in (out / data.LOG).read_text().splitlines()]
    assert {line["event"] for line in lines} >= {"start", "image", "failed", "stop", "shard", "finish"}
    assert not any({"pid", "host"} & set(line) for line in lines)


def test_parts_of_machines(tmp_path: Path) -> None:
    """One was killed after its last shard, another while it brought one."""
    out = tmp_path / "shared"
    spec, plan = load_spec("m3di"), generate.make_plan(load_spec("m3di"), fake_options(tmp_path))
    folder = data.LocalFolder(out)
    data.claim(folder, plan)
    for number in (1, 2, 3):
        to = generate.Staged(folder, tmp_path / "stage", generate.Part(number, 3))
        with to.workplace(plan) as place:
            generate.render_missing(to, place, spec, plan, FakePool(32))
    (out / data.part_lock_name(1, 3)).write_text(json.dumps({"host": HOST, "pid": 7}))
    (out / "train-00000.tar.0123456789ab.partial").write_bytes(b"half")
    (out / "readers.lock").touch()  # not ours
    generate.finalize(folder)
    assert (out / "readers.lock").exists()
    (out / "readers.lock").unlink()
    assert_says_nothing(out, tmp_path)


@pytest.mark.slow
def test_a_lock_that_was_left_goes_with_the_next_run(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    options = fake_options(tmp_path / "it")
    generate.render(options)
    lock = options.out / data.LOCK
    lock.write_text(json.dumps({"host": HOST, "pid": 7}))
    generate.render(options)
    assert not lock.exists()
    with data.locked(options.out):  # somebody is there
        generate.render(options)
        assert lock.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Failed to open file /home/joe/x.blend now", "Failed to open file [path] now"),
        ("'/root'", "'[path]'"),
        ("(file:///home/joe/x)", "([path])"),
        (r"C:\Users\joe\x.blend is not there", "[path] is not there"),
        ("{out}/train-00000.tar is bad", "train-00000.tar is bad"),
        (f"process 123 on {HOST}, since", "process [number] on [host], since"),
        ("pid=77", "pid=[number]"),
        ("24/24 and/or s3://bucket/x", "24/24 and/or s3://bucket/x"),
        ("no image after 600 s", "no image after 600 s"),
    ],
)
def test_what_the_log_makes_of_a_message(text: str, said: str, tmp_path: Path) -> None:
    assert without_places(text.replace("{out}", str(tmp_path)), tmp_path) == said


def test_why_a_worker_was_replaced(tmp_path: Path) -> None:
    log = LogFile(tmp_path / data.LOG)
    log.write_pool_event(PoolEvent("restart", 3, os.getpid(), why=f"{Path.home()}/x.blend on {HOST} is gone"))
    (line,) = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert re.fullmatch(r"\[path\] on \[host\] is gone", line["why"])
    assert set(line) == {"time", "event", "worker", "why"}
