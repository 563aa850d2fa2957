"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from m3di.cli.doctor import described
from m3di.doctor import Examination, Finding, examination, examine, installed, kept_files
from m3di.doctor import child_probes as probes
from m3di.doctor.child_probes import Answer, run_probe
from tests.cli.test_habits import documented, keys_of
from tests.cli.test_main import installed_m3di, m3di

BLENDER = Answer({"version": "5.0.1", "gpus": []})
TORCH = Answer({"version": "2.13.0", "n_threads": 2, "gpus": [], "bf16": False})
CARD = "NVIDIA H100, driver 550.1, 81559 MiB"


def examined(
    monkeypatch: pytest.MonkeyPatch, *, blender: Answer = BLENDER, torch: Answer = TORCH, cards: tuple[str, ...] = ()
) -> dict[str, Finding]:
    """What is found on a machine that gives these answers."""
    asked: list[bool] = []
    monkeypatch.setattr(examination, "ask_nvidia", lambda: list(cards))
    monkeypatch.setattr(examination, "ask_torch", lambda: torch)
    monkeypatch.setattr(examination, "ask_blender", lambda *, has_nvidia: (asked.append(has_nvidia), blender)[1])
    found = examine()
    assert asked == [bool(cards)]  # only the driver that is there is asked
    assert found.works
    return {each.name: each for each in found.findings}


def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch)
    assert {name for name, each in found.items() if each.core} == {"python", "specs and samples", "datasets"}
    assert found["rendering"] == Finding("rendering", "works", "Blender 5.0.1 on the CPU")
    assert found["training"] == Finding("training", "works", "torch 2.13.0, 2 threads on the CPU")
    assert (found["GPU driver"].state, found["bf16"].state) == ("missing", "missing")
    assert not {"rendering on a GPU", "training on a GPU"} & found.keys()
    assert found["datasets"].found == "the example has 900 samples"
    assert all(bool(each.mend) is (each.state != "works") for each in found.values())


def test_a_gpu_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    blender = Answer({"version": "5.0.1", "gpus": ["NVIDIA H100 (CUDA)"]})
    torch = Answer({"version": "2.13.0", "n_threads": 2, "gpus": ["NVIDIA H100"], "bf16": True})
    found = examined(monkeypatch, blender=blender, torch=torch, cards=(CARD,))
    for name, what in (
        ("GPU driver", CARD),
        ("rendering on a GPU", "NVIDIA H100 (CUDA)"),
        ("training on a GPU", "NVIDIA H100"),
        ("bf16", "--precision auto is bf16"),
    ):
        assert found[name] == Finding(name, "works", what)


def test_a_gpu_that_nobody_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, cards=(CARD,))
    assert found["rendering on a GPU"].state == found["training on a GPU"].state == "broken"
    assert "NVIDIA_DRIVER_CAPABILITIES" in found["rendering on a GPU"].mend
    assert "CUDA build" in found["training on a GPU"].mend


def test_what_is_not_installed_is_no_fault_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, blender=Answer(lacks=("bpy", "pebble")), torch=Answer(lacks=("torch",)))
    assert found["rendering"].state == found["training"].state == "missing"
    assert found["rendering"].found.endswith("without bpy, pebble")
    assert "Python 3.11" in found["rendering"].mend and "m3di[render]" in found["rendering"].mend
    assert "m3di[train]" in found["training"].mend


def test_what_crashes_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, blender=Answer(error="no answer within 60 s"), torch=Answer(error="ImportError: no"))
    assert (found["rendering"].state, found["rendering"].found) == ("broken", "no answer within 60 s")
    assert (found["training"].state, found["training"].found) == ("broken", "ImportError: no")


def test_fonts_and_git_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m3di.report.missing_characters", lambda texts: "".join(texts) if "中文" in texts else "")
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = examined(monkeypatch)
    assert (found["fonts"].state, found["fonts"].found) == ("missing", "none for Chinese")
    assert (found["git"].state, found["git"].found) == ("missing", "not on the path")


def test_a_core_that_does_not_work_is_told_by_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def draws() -> str:
        raise ValueError("no\nspecs")

    examined(monkeypatch)
    monkeypatch.setattr(examination, "_draws", draws)
    done = m3di("doctor", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert found["works"] is False
    (broken,) = [each for each in found["findings"] if each["state"] == "broken"]
    assert (broken["name"], broken["found"]) == ("specs and samples", "ValueError: no specs")
    assert "pip install --force-reinstall m3di" in broken["mend"]
    told = m3di("doctor")
    assert told.returncode == 1
    assert told.stdout.endswith("\nthe core does not work: mend what is broken above\n")


def test_an_old_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "LEAST_PYTHON", (99, 0))
    assert examination._python().state == "broken"


def test_the_page_has_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    examined(monkeypatch)
    done = m3di("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert keys_of(found) == documented("doctor")
    assert {"m3di", "python", "system", "numpy"} <= found["versions"].keys()


def test_people_read_what_is_to_be_mended() -> None:
    findings = (Finding("a", "works", "here", core=True), Finding("b", "missing", "nothing", "install it"))
    extras = (installed.Extra("ray", {}, ("ray",)), installed.Extra("s3", {"s3fs": "1"}, ()))
    folders = (kept_files.KeptFolder("images", "/c", 2_500_000, 3, "M3DI_CACHE", "remove it"),)
    told = described(Examination(findings, {"m3di": "1"}, extras, folders, (kept_files.Room("here", "/", 10**9),)))
    assert told.splitlines() == [
        "works   a                   here",
        "missing b                   nothing",
        "                            mend: install it",
        "",
        "versions  m3di 1",
        "extra     ray     without ray; pip install 'm3di[ray]'",
        "extra     s3      complete",
        "kept      images: /c, 2.5 MB in 3 files (M3DI_CACHE); remove it",
        "free      1.0 GB for here: /",
        "",
        "the core works",
    ]


@pytest.mark.parametrize(
    ("code", "timeout_s", "expected"),
    [
        ('print("noise"); print({mark!r} + "{{\\"a\\": 1}}")', 60, Answer({"a": 1})),
        ('import sys; sys.exit("first\\nthe last line")', 60, Answer(error="the last line")),
        ("import os; os._exit(7)", 60, Answer(error="it ended with exit code 7")),
        ("import time; time.sleep(100)", 0.2, Answer(error="no answer within 0.2 s")),
    ],
)
def test_a_process_of_its_own_answers_fails_or_hangs(code: str, timeout_s: float, expected: Answer) -> None:
    assert run_probe(code, timeout_s=timeout_s) == expected


def test_a_python_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert run_probe("").error.startswith("FileNotFoundError: ")


def test_nothing_is_tried_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "missing_packages", lambda: ["bpy"])
    monkeypatch.setattr(probes, "find_spec", lambda name: None)
    monkeypatch.setattr(probes, "run_probe", lambda *_: pytest.fail("tried"))
    assert probes.ask_blender(has_nvidia=True) == Answer(lacks=("bpy",))
    assert probes.ask_torch() == Answer(lacks=("torch",))


def test_cards_are_named_with_their_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m3di.render.gpu._query_nvidia", lambda *fields: [["NVIDIA H100", "550.1", "81559 MiB"]])
    assert probes.ask_nvidia() == [CARD]


def test_extras_and_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy<3", 'click<9; extra == "render"', 'no-such-package; python_version == "3.11" and extra == "render"']
    needs += ['numpy<2; extra == "render"', 'pytest; extra == "dev"']
    monkeypatch.setattr(installed, "requires", lambda name: needs)
    found = {each.name: each for each in installed.extras()}
    assert list(found) == list(installed.EXTRAS)
    assert found["render"].installed.keys() == {"click", "numpy"}
    assert found["render"].missing == ("no-such-package",)
    assert found["ray"] == installed.Extra("ray", {}, ())


def test_extras_of_a_package_that_is_only_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> Any:
        raise installed.PackageNotFoundError(name)

    monkeypatch.setattr(installed, "requires", requires)
    assert installed.extras() == ()


def test_folders_with_their_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    (cache / "below").mkdir(parents=True)
    (cache / "a").write_bytes(b"123")
    (cache / "below" / "b").write_bytes(b"45")
    monkeypatch.setenv("M3DI_CACHE", str(cache))
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    found = {each.name: each for each in kept_files.kept_folders()}
    images = found["decoded images"]
    assert (images.path, images.n_bytes, images.n_files, images.variable) == (str(cache), 5, 2, "M3DI_CACHE")
    shapes = found["your own shapes"]
    assert (shapes.path, shapes.n_bytes, shapes.n_files) == (str(tmp_path / "home" / "shapes"), 0, 0)
    assert found.keys() == {"decoded images", "your own shapes", "GPU kernels", "unfinished shards"}
    assert not (tmp_path / "home").exists()
    rooms = {each.name: each for each in kept_files.rooms()}
    assert rooms["cache"].path == str(cache)
    assert all(each.n_free > 0 for each in rooms.values())


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def expanduser(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("M3DI_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    assert kept_files.kept_folders()[0].path is None
    assert "cache" not in {each.name for each in kept_files.rooms()}


@pytest.mark.slow
def test_this_machine_for_real(tmp_path: Path) -> None:
    done = installed_m3di("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["works"] is True
    states = {each["name"]: each["state"] for each in found["findings"]}
    pytest.importorskip("torch")
    assert states["training"] == "works"
    pytest.importorskip("pebble")
    if sys.version_info[:2] == (3, 11):
        assert states["rendering"] == "works"
    assert not list(tmp_path.iterdir())
