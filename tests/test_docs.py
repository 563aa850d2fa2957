"""The documentation runs: its files are written, its commands and its Python executed, block by block."""

from __future__ import annotations

import configparser
import gc
import importlib
import re
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import m3di
from m3di import errors
from m3di.cli.main import cli
from m3di.data.format.entries import TextEntry
from m3di.data.format.manifest import Manifest
from m3di.errors import M3diError
from tests.conftest import REGISTRIES
from tests.extension_tables import KINDS, PAGE, TABLES, with_tables

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(yaml|python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["causal-graph.md", "processes.md"])
def test_every_block_of_the_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_blocks(name) > 1


def test_every_block_about_evaluation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_blocks("evaluation.md") == 4


def test_the_page_on_extending_runs_and_its_tables_are_those_of_the_registries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page, "python -m tests.extension_tables"
    assert set(re.findall(r"<!-- (\w+) -->", page)) == {*TABLES, "kinds", "end"}
    of_rooms = {id(getattr(sys.modules[room], name)) for room, name in REGISTRIES}
    assert {id(each) for each, _, _ in KINDS.values()} == of_rooms
    monkeypatch.chdir(tmp_path)
    assert run_blocks("extending.md") == 1


@pytest.mark.slow
def test_every_block_for_your_own_project_runs(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    shutil.copytree(fake_dataset, tmp_path / "data" / "m3di")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "hf"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others warn of is not ours to fix
        assert run_blocks("use-in-your-project.md") > 10
        gc.collect()


def run_blocks(name: str) -> int:
    """Run every block of a page in order, in the current folder; how many there are."""
    namespace: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))
    for language, text in blocks:
        if language == "yaml":
            first, rest = text.split("\n", 1)
            Path(first.removeprefix("# file: ")).write_text(rest)
        elif language == "python":
            exec(compile(text, f"{name}: {text.splitlines()[0]}", "exec"), namespace)
        else:
            for line in text.splitlines():
                result = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
                assert result.exit_code == 0, f"{line}: {result.output}"
    return len(blocks)


def test_links_lead_somewhere() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "blender_scenes" / "README.md",
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page}: {target}"


PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "templates/README.md", "benchmarks/RESULTS.md")),
        *(ROOT / "docs").rglob("*.md"),
    )
)


def commands_of(page: str) -> list[list[str]]:
    """Every `m3di ...` of the shell blocks of a page, in words, without `m3di`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*).*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(block for language, block in blocks if language in {"", "sh", "bash"})
    lines = re.sub(r"\$\{?\w+\}?", "1", lines.replace("\\\n", " "))
    lines = re.sub(r'--wrap "([^"]*)"', r"\n\1", lines)
    found = re.findall(r"(?:^|\bsrun )m3di (?!\.)([^\n]*)", lines, re.MULTILINE)
    return [shlex.split(each, comments=True) for each in found]


def test_commands_are_found_in_all_their_forms() -> None:
    assert ["finalize", "/shared/m3di"] in commands_of("docs/many-machines.md")
    assert ["render", "--n", "125000", "--dry-run"] in commands_of("docs/long-runs.md")
    assert "1/100" in next(each for each in commands_of("docs/tutorials/cluster.md") if "10000000" in each)


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)])
def test_commands_of_a_page_are_understood(page: str, monkeypatch: pytest.MonkeyPatch, registries: None) -> None:
    """They exist, and so do their options; what they do is left out here: some take days."""
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    for words in commands_of(page):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"m3di {shlex.join(words)}: {result.output}"


def test_a_command_that_is_none_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    for words in (["rendr"], ["render", "--sise", "64"], ["render", "--n", "many"], ["specs", "graph"]):
        assert CliRunner().invoke(cli, words).exit_code != 0, words


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_install_exists(page: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    told = re.findall(r"(?:m3di|\.|/src)\[([a-z0-9,]+)\]", (ROOT / page).read_text(encoding="utf-8"))
    assert {extra for each in told for extra in each.split(",")} <= set(setup["options.extras_require"])


# The one about a cluster starts a Ray of its own: `make docs` executes it, as all of them, in a kernel.
TUTORIALS = sorted(path.name for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.stem != "cluster")


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_every_block_of_a_tutorial_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_blocks(f"tutorials/{name}") >= 2


def run_python(page: str) -> int:
    """Run the Python of a page whose commands take long, in the current folder; how many blocks there are."""
    namespace: dict[str, Any] = {}
    blocks = [
        text for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) if language == "python"
    ]
    for text in blocks:
        exec(compile(text, f"{page}: {text.splitlines()[0]}", "exec"), namespace)
    return len(blocks)


def run_command(line: str) -> None:
    result = CliRunner().invoke(cli, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0, f"{line}: {result.output}"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(fake_dataset, tmp_path / "data" / "m3di")
    monkeypatch.chdir(tmp_path)
    run_command("train --data data/m3di --steps 1 --batch-size 4 --image-encoder resnet18-small")
    assert (tmp_path / "runs" / "m3di-001").is_dir()
    assert run_python("README.md") == 3


@pytest.mark.slow
@pytest.mark.blender
def test_the_python_about_annotations_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = "--n 1 --n-val 0 --n-test 0 --size 32 --quality draft"
    run_command(f"render {few} --passes mask,depth,normal --out data/m3di")
    assert run_python("docs/annotations.md") == 2


def test_the_encoder_of_the_page_on_training_is_one(registries: None) -> None:
    assert run_python("docs/train.md") == 1
    assert "small" in importlib.import_module("m3di.learn.models.registry").IMAGE_ENCODERS


def test_the_start_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_blocks("index.md") == 1


def test_the_reference_of_python_has_every_name_of_the_face() -> None:
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.MULTILINE)
    face = [getattr(m3di, name) for name in m3di.__all__ if name != "__version__"]
    assert named == [f"{each.__module__}.{each.__qualname__}" for each in face]


def test_the_page_on_the_format_has_every_key_of_a_manifest_and_of_its_text_views() -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    rows = page.partition("## `dataset.json`")[2].partition("\n\n`spec` needs")[0].splitlines()
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")]
    assert sorted(keys) == sorted(Manifest.model_fields)
    (text,) = (row for row in rows if row.startswith("| `text` |"))
    assert {*re.findall(r"`(\w+)`", text)} >= set(TextEntry.model_fields)


def test_messages_that_the_page_on_errors_explains_are_raised() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    raised = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "m3di").rglob("*.py"))
    headings = "\n".join(re.findall(r"^\*\*.*\*\*$", page, re.MULTILINE))
    explained = re.findall(r"\*\*(.+?)\*\*", headings)
    assert len(explained) > 30
    for text in explained:
        for part in text.split("..."):
            assert part.strip() in raised, text


def test_the_page_on_errors_has_every_kind_with_its_exit_code() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d, ]+) \|$", page, re.MULTILINE))
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, M3diError)]
    assert len(kinds) > 5
    assert {each.__name__: str(each.exit_code) for each in kinds} == {
        name: code for name, code in told.items() if name != "KeyboardInterrupt"
    }
