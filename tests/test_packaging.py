"""What a user installs: a wheel with all its data, of which the light part works without Blender."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from m3di.browse.page_files import page_names
from m3di.latents import load_spec, spec_names, template_names

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_holds_scenes_templates_and_specs(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves files behind
    for name in ("m3di", "blender_scenes", "templates"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("m3di-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert "m3di/blender_scenes/scene.blend" in held
    assert {
        f"m3di/blender_scenes/shapes/{name}.blend" for name in load_spec("m3di").factors["object_shape"].names
    } <= held
    assert {f"m3di/templates/{name}.yaml" for name in template_names()} <= held
    assert {f"m3di/latents/specs/{name}.yaml" for name in spec_names()} <= held
    assert "m3di/py.typed" in held
    assert {f"m3di/browse/page/{name}" for name in page_names()} <= held
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "m3di").rglob("*.py")}
    assert modules <= held


@pytest.mark.slow
def test_loading_and_training_need_no_blender(fake_dataset: Path, tmp_path: Path) -> None:
    root = str(fake_dataset)
    code = f"""
import sys
from pathlib import Path
for name in ("bpy", "OpenEXR", "pebble", "mathutils"):
    sys.modules[name] = None
from m3di import Multimodal3DIdent
from m3di.data import verify
print(len(Multimodal3DIdent({root!r})), verify(Path({root!r})).seed)
sys.argv = ["m3di", "train", "--data", {root!r}, "--steps", "2", "--batch-size", "4", "--run", "run"]
from m3di.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 0\n")
    assert (tmp_path / "run" / "metrics.csv").exists()


def pinned(name: str) -> dict[str, str]:
    """Version of each package of a file of exact versions, by its normalised name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_the_lock_has_the_versions_of_the_constraints_and_a_hash_of_every_file() -> None:
    constraints, lock = pinned("constraints.txt"), pinned("requirements.lock")
    assert {package: version for package, version in lock.items() if package in constraints} == lock
    left_out = {"torch", "tzdata"}  # torch is installed from elsewhere; tzdata is wanted by Windows alone
    assert constraints.keys() - lock.keys() <= left_out, "run `make lock`"
    entries = re.split(r"^(?=[A-Za-z])", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert all("--hash=sha256:" in entry for entry in entries if entry.strip())
