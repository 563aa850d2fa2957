"""The files that a stranger looks at first say what is true: versions agree, targets exist, no machine is named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from m3di._version import __version__
from tests.release_notes import release_notes, version_of

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
YAML_FILES = sorted(
    [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"],
)
OURS = (
    "Makefile",
    ".ci/run",
    "containers/Dockerfile",
    ".dockerignore",
    "setup.cfg",
    "pyproject.toml",
    "constraints.txt",
)


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def made(text: str) -> set[str]:
    """The targets that a text calls by `make TARGET`."""
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", text))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_it_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_the_citation_names_this_version_and_the_paper() -> None:
    cited = read("CITATION.cff")
    assert cited["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= set(cited)
    assert cited["references"][0]["authors"][0]["family-names"] == "Daunhawer"


def test_what_ci_calls_is_in_the_makefile() -> None:
    steps = [
        step.get("run", "") for job in read(".github/workflows/test.yml")["jobs"].values() for step in job["steps"]
    ]
    assert made("\n".join(steps)) == {"test-light", "test-lowest"}
    assert any(".ci/run" in step for step in steps)
    assert made((ROOT / ".ci" / "run").read_text(encoding="utf-8")) <= TARGETS


def test_ci_runs_every_python_and_system_that_is_promised() -> None:
    matrix = read(".github/workflows/test.yml")["jobs"]["light"]["strategy"]["matrix"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert "python_requires = >=3.10" in (ROOT / "setup.cfg").read_text(encoding="utf-8")


def test_hooks_make_the_checks_of_the_makefile() -> None:
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    assert made("\n".join(hook["entry"] for hook in repo["hooks"])) == {"lint", "check"}
    assert {"lint", "check"} <= TARGETS


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_targets_that_a_page_names_exist(page: str) -> None:
    quoted = re.findall(r"```sh\n.*?```|`[^`\n]+`", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert made("\n".join(quoted)) <= TARGETS


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone of git")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_file_names_a_machine_or_a_registry_of_its_own() -> None:
    """Paths of whoever develops it, and places to install from that others do not reach."""
    told = re.compile(
        rb"/work/|/home/(?!joe/)[a-z]+/|--(?:extra-)?index-url(?! https://download\.pytorch\.org)|trusted-host"
    )
    here = Path(__file__).name
    texts = [
        path
        for path in tracked()
        if path.suffix in {"", ".md", ".yml", ".yaml", ".cff", ".txt", ".cfg", ".toml", ".lock"}
    ]
    assert {ROOT / name for name in OURS} <= set(texts)
    wrong = {path.name: told.findall(path.read_bytes()) for path in texts if path.name != here and path.is_file()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_the_container_installs_what_there_is() -> None:
    recipe = (ROOT / "containers" / "Dockerfile").read_text(encoding="utf-8")
    extras = set(re.findall(r"\[([a-z,]+)\]'", recipe))
    assert extras == {"render,train"}
    assert re.search(r"^FROM base AS cpu$", recipe, re.MULTILINE)
    assert re.search(r"^FROM base AS gpu$", recipe, re.MULTILINE)


CHANGES = (
    "# Changelog\n\n## Unreleased\n\n- new\n\n## 1.2.0 (2026-01-31)\n\n- told\n- and more\n\n## 1.1.0 (2025-01-31)\n\n"
)


def test_the_notes_of_a_release() -> None:
    assert release_notes(CHANGES, "1.2.0") == "- told\n- and more\n"


@pytest.mark.parametrize("version", ["1.3.0", "1.1.0", "1.2", "1x2.0"])
def test_a_release_without_notes_is_refused(version: str) -> None:
    with pytest.raises(SystemExit, match=f"no notes for {version}: give the section its heading"):
        release_notes(CHANGES, version)


def test_the_version_of_a_release_is_that_of_the_citation() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("m3di/_version.py", "CITATION.cff")]
    assert version_of(*texts) == __version__
    with pytest.raises(SystemExit, match=r"_version\.py has the version 9\.9, CITATION\.cff " + re.escape(__version__)):
        version_of('__version__ = "9.9"\n', texts[1])
    with pytest.raises(SystemExit, match=r"CITATION\.cff none"):
        version_of(texts[0], "title: it\n")
