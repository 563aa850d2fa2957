"""The house's rules: imports go one way and in no circle, Blender lives in few places, and light imports stay light."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import m3di

PACKAGE = Path(m3di.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"  # of the clone: the package may be an installed one
MAY_IMPORT = {
    "system": set(),
    "latents": set(),
    "render": {"latents"},
    "data": {"latents"},
    "generate": {"render", "data", "latents"},
    "learn": {"data", "latents"},
    "evaluate": {"learn", "data", "latents"},
    "simulate": {"learn", "evaluate"},
    "report": {"evaluate", "simulate", "data", "latents"},
    "browse": {"report", "evaluate", "data", "latents"},
    "reproduce": {"report", "simulate", "evaluate", "learn", "generate", "data", "latents"},
    "doctor": {"report", "generate", "render", "data", "latents"},
    "cli": {
        "doctor",
        "reproduce",
        "browse",
        "generate",
        "report",
        "simulate",
        "evaluate",
        "learn",
        "render",
        "data",
        "latents",
    },
}
# Anybody may import these; they import no room.
BESIDE = {"errors", "system", "_version", "__version__"}
# What a worker process begins with, before it reaches `render/blender`: their imports are within functions.
BLENDER_ELSEWHERE = {"render/worker.py", "render/library/mesh_reading.py"}
STDLIB = set(sys.stdlib_module_names)
THIRD_PARTY = {
    "latents": {"numpy", "scipy", "pydantic", "pydantic_core", "yaml", "jinja2", "matplotlib", "platformdirs"},
    "render": {
        *("numpy", "scipy", "PIL", "matplotlib", "bpy", "mathutils", "OpenEXR", "pebble", "skimage"),
        *("platformdirs", "pooch", "psutil", "requests", "trimesh"),
    },
    "data": {"numpy", "PIL", "imagecodecs", "fsspec", "pyarrow", "pydantic", "yaml", "torch"},
    "learn": {"numpy", "pydantic", "torch", "safetensors", "timm", "ray", "wandb", "mlflow"},
    "evaluate": {"numpy", "pyarrow", "scipy", "sklearn", "torch"},
    "simulate": {"numpy", "pydantic", "torch", "safetensors"},
    "report": {"numpy", "PIL", "kneed", "matplotlib", "pyarrow"},
    "browse": {"numpy", "PIL", "pyarrow"},
    "reproduce": {"numpy", "matplotlib", "torch", "ray"},
    "doctor": set(),
}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree_of(path)))


@functools.cache
def imported_modules(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in the file."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    assert files_of(room)
    for path in files_of(room):
        for module in imported_modules(path):
            if module.startswith("m3di."):
                target = module.split(".")[1]
                assert target in MAY_IMPORT[room] | {room} | BESIDE, f"{path} imports {module}"


@pytest.mark.parametrize("room", THIRD_PARTY)
def test_a_room_imports_only_its_libraries(room: str) -> None:
    for path in files_of(room):
        roots = {module.split(".")[0] for module in imported_modules(path)} - {"m3di"} - STDLIB
        assert roots <= THIRD_PARTY[room], path


def test_the_drawn_house_is_this_one() -> None:
    """docs/images/house.png carries the table that it was drawn from; so does the page, as a table of its own."""
    with Image.open(DOCS / "images" / "house.png") as picture:
        drawn = json.loads(picture.info["may_import"])
    rooms = {room: sorted(below) for room, below in MAY_IMPORT.items()}
    assert drawn == rooms, "run `python -m tests.draw_house`"
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+)` \| (.*?) \|", page, re.MULTILINE)
    assert {room: sorted(re.findall(r"`(\w+)`", below)) for room, below in rows} == rooms


def test_modules_import_each_other_in_no_circle() -> None:
    """Imports in functions and for types count too. The face is left out: it names what it finds on first use."""
    found = {".".join(["m3di", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in files_of("")}
    paths = {name.removesuffix(".__init__"): path for name, path in found.items()}
    del paths["m3di"]
    assert len(paths) > 200
    # `from a.b import c` imports the module a.b.c where there is one, and else a.b.
    imports = {
        name: {each if each in paths else each.rpartition(".")[0] for each in imported_modules(path)} & paths.keys()
        for name, path in paths.items()
    }
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


# Modules of one name in two rooms do the same job there. Those of `cli` are the command of that name.
SAME_JOB = {
    "checkpoint": "what a training is continued from, of encoders of images and of the numerical simulation",
    "choices": "words and numbers that options can have, light to import",
    "config": "every setting of a training, of the same two",
    "errors": "the errors themselves, and what file systems behind URLs raise instead of them",
    "graph": "the causal graph of a spec, and its picture",
    "job": "what is done in one go: an image, a training",
    "names": "what a room gives, imported when a name of it is first used",
    "registry": "names, and what they stand for",
    "run": "one run from its options to its end",
    "shards": "how a shard is read and written, and how one is rendered",
    "turntable": "the pictures of a shape from all sides, and the sheet of them",
}


def test_no_two_modules_of_one_name_do_different_jobs() -> None:
    found: dict[str, list[str]] = {}
    for path in files_of(""):
        if path.stem not in ("__init__", "__main__") and path.relative_to(PACKAGE).parts[0] != "cli":
            found.setdefault(path.stem, []).append(path.relative_to(PACKAGE).as_posix())
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert not {name: paths for name, paths in twice.items() if name not in SAME_JOB}


def test_no_class_name_is_there_twice() -> None:
    found: dict[str, list[str]] = {}
    for path in files_of(""):
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.relative_to(PACKAGE).as_posix())
    assert len(found) > 100
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_blender_is_imported_where_its_worker_processes_are_only() -> None:
    blender = {path for path in files_of("") if imported_modules(path) & {"bpy", "mathutils.Vector"}}
    assert not {path for path in files_of("") if "mathutils" in path.read_text(encoding="utf-8")} - blender
    elsewhere = blender - {*files_of("render/blender"), *files_of("render/modelling")}
    assert {path.relative_to(PACKAGE).as_posix() for path in elsewhere} == BLENDER_ELSEWHERE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("m3di", ["bpy", "torch"]),
        ("m3di.data", ["bpy", "torch"]),
        ("m3di.learn", ["bpy"]),
        ("m3di.latents", ["bpy", "torch"]),
        ("m3di.render", ["bpy", "torch"]),
        ("m3di.generate", ["bpy", "torch"]),
        ("m3di.report", ["bpy", "torch"]),
        ("m3di.browse", ["bpy", "torch"]),
        ("m3di.doctor.examination", ["bpy", "torch"]),
        ("m3di.cli.main", ["bpy", "torch", "pydantic"]),
        ("m3di.learn.training.config", ["bpy", "torch"]),
        ("m3di.simulate.config", ["bpy", "torch"]),
    ],
)
def test_importing_stays_light(module: str, forbidden: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {forbidden} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEAVY = ("numpy", "scipy", "pandas", "pyarrow", "PIL", "matplotlib", "sklearn", "jinja2", "torch", "bpy", "ray")
ALL_HELP = """
import sys, click
from click.testing import CliRunner
from m3di.cli.main import cli

def show(command, *path):
    done = CliRunner().invoke(cli, [*path, "--help"])
    assert done.exit_code == 0 and done.output.startswith("Usage:"), (path, done.output)
    print(" ".join(path), *[name for name in sys.argv[1:] if name in sys.modules], sep=",")
    for name, below in getattr(command, "commands", {}).items():
        show(below, *path, name)

show(cli)
"""


def test_help_waits_for_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", ALL_HELP, *HEAVY], capture_output=True, text=True, check=True)
    found = dict(line.split(",", 1) if "," in line else (line, "") for line in done.stdout.splitlines())
    assert {"", "render", "train", "simulate", "evaluate", "verify", "specs reference"} <= found.keys()
    assert not {command: heavy for command, heavy in found.items() if heavy}


def test_no_module_starts_the_command_line_by_a_string() -> None:
    """A process that a room starts runs a function of that room: the command line stands above all rooms."""
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("cli", "__main__.py"):
            continue
        nodes = nodes_of(path)
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert not [text for text in texts if "m3di.cli" in text], path
        lists = [[getattr(each, "value", None) for each in node.elts] for node in nodes if isinstance(node, ast.List)]
        assert not [each for each in lists if each[:1] == ["m3di"] or ("-m" in each and "m3di" in each)], path


def test_modules_and_functions_are_short() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 350, path
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"
