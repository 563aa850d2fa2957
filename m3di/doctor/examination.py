"""Try what m3di stands on, in seconds: each finding says what is there, and how to mend what is not."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from m3di._version import __version__
from m3di.doctor.child_probes import Answer, ask_blender, ask_nvidia, ask_torch
from m3di.doctor.installed import Extra, extras, version_of
from m3di.doctor.kept_files import KeptFolder, Room, kept_folders, rooms

State = Literal["works", "missing", "broken"]
LEAST_PYTHON = (3, 10)
LIGHT = ("numpy", "scipy", "pyarrow", "pillow", "pydantic", "click", "rich")
SCRIPTS = {
    "Latin": "Aä",
    "Greek": "Ωλ",
    "Cyrillic": "Жя",
    "Arabic": "عب",
    "Hebrew": "אב",
    "Devanagari": "कख",
    "Thai": "กข",
    "Chinese": "中文",
    "Japanese": "あア",
    "Korean": "한글",
}


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        name: What was looked at.
        state: Whether it works, is not there, or is there and does not work.
        found: What is there.
        mend: What to do about it; empty if it works.
        core: Whether m3di is of no use without it.
    """

    name: str
    state: State
    found: str
    mend: str = ""
    core: bool = False


@dataclass(frozen=True)
class Examination:
    """All findings.

    Attributes:
        findings: What was tried.
        versions: Of m3di, Python and packages.
        extras: The packages of each extra.
        folders: What m3di keeps between runs.
        rooms: Room on disks, in bytes.
    """

    findings: tuple[Finding, ...]
    versions: dict[str, str]
    extras: tuple[Extra, ...]
    folders: tuple[KeptFolder, ...]
    rooms: tuple[Room, ...]

    @property
    def works(self) -> bool:
        """Whether the core works: specs, samples, datasets."""
        return all(each.state == "works" for each in self.findings if each.core)

    def as_dict(self) -> dict[str, Any]:
        """Return it in values that JSON has."""
        return {"works": self.works, **asdict(self)}


def examine() -> Examination:
    """Look at this machine; what may crash or hang is tried in processes of its own, side by side."""
    with ThreadPoolExecutor(max_workers=3) as asked:
        nvidia = asked.submit(ask_nvidia)
        torch = asked.submit(ask_torch)
        blender = asked.submit(lambda: ask_blender(has_nvidia=bool(nvidia.result())))
        here = [_python(), _attempt("specs and samples", _draws), _attempt("datasets", _opens), _fonts(), _git()]
        cards, blender_said, torch_said = nvidia.result(), blender.result(), torch.result()
    findings = (*here, _driver(cards), *_of_blender(blender_said, cards), *_of_torch(torch_said, cards))
    versions = {"m3di": __version__, "python": platform.python_version(), "system": platform.platform()}
    versions |= {name: version for name in LIGHT if (version := version_of(name))}
    return Examination(findings, versions, extras(), kept_folders(), rooms())


def _python() -> Finding:
    found = f"Python {platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < LEAST_PYTHON:
        return Finding("python", "broken", found, "make an environment with Python 3.10 or newer", core=True)
    return Finding("python", "works", found, core=True)


def _attempt(name: str, attempt: Callable[[], str]) -> Finding:
    """Try a part of the core, which may fail in any way."""
    try:
        return Finding(name, "works", attempt(), core=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(name, "broken", told, "install it again: pip install --force-reinstall m3di", core=True)


def _draws() -> str:
    from m3di.latents import captions, load_spec, sample, spec_names

    drawn = sample(load_spec("m3di"), "train", 2, seed=0)
    return f"{len(spec_names())} built-in specs; drawn: {captions(drawn, 'text')[0]!r}"


def _opens() -> str:
    from m3di.data import EXAMPLE, LocalFolder, open_source

    source = open_source(LocalFolder(EXAMPLE))
    n = sum(source.table(split).num_rows for split in source.n_samples)
    return f"the example has {n} samples"


def _fonts() -> Finding:
    from m3di.report import missing_characters

    lacking = [name for name, text in SCRIPTS.items() if missing_characters([text])]
    if not lacking:
        return Finding("fonts", "works", f"{', '.join(SCRIPTS)}")
    mend = "only pictures with captions need them; Blender brings them along: pip install 'm3di[render]' (Python 3.11)"
    return Finding("fonts", "missing", f"none for {', '.join(lacking)}", mend)


def _git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", "missing", "not on the path", "only those who change m3di need it")
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", "broken", f"{type(error).__name__}: {error}", "install it again")
    return Finding("git", "works", said.strip())


def _driver(cards: list[str]) -> Finding:
    if cards:
        return Finding("GPU driver", "works", "; ".join(cards))
    mend = "without an NVIDIA GPU nothing is to be mended; with one, install its driver until `nvidia-smi` lists it"
    return Finding("GPU driver", "missing", "nvidia-smi lists no card", mend)


def _of_blender(said: Answer, cards: list[str]) -> list[Finding]:
    """Whether images can be rendered, and on what."""
    mend = "with Python 3.11: pip install 'm3di[render]'"
    if said.lacks:
        here = f"Python {platform.python_version()} without {', '.join(said.lacks)}"
        return [Finding("rendering", "missing", here, f"{mend}; all else works without")]
    if said.error:
        return [Finding("rendering", "broken", said.error, f"{mend}, in a new environment")]
    found = [Finding("rendering", "works", f"Blender {said.values['version']} on the CPU")]
    if cards and said.values["gpus"]:
        found.append(Finding("rendering on a GPU", "works", "; ".join(said.values["gpus"])))
    elif cards:
        step = "in a container: --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics; else a newer driver"
        found.append(Finding("rendering on a GPU", "broken", "Cycles finds no GPU", step))
    return found


def _of_torch(said: Answer, cards: list[str]) -> list[Finding]:
    """Whether encoders can be trained, on what, and in which precision."""
    if said.lacks:
        return [Finding("training", "missing", "no torch", "pip install 'm3di[train]'; rendering works without")]
    if said.error:
        return [Finding("training", "broken", said.error, "pip install --force-reinstall torch, in a new environment")]
    values = said.values
    found = [Finding("training", "works", f"torch {values['version']}, {values['n_threads']} threads on the CPU")]
    if values["gpus"]:
        found.append(Finding("training on a GPU", "works", "; ".join(values["gpus"])))
    elif cards:
        step = "install the CUDA build: see https://pytorch.org/get-started/locally"
        found.append(Finding("training on a GPU", "broken", f"torch {values['version']} finds no GPU", step))
    if values["bf16"]:
        found.append(Finding("bf16", "works", "--precision auto is bf16"))
    else:
        found.append(Finding("bf16", "missing", "--precision auto is fp32", "nothing: this device computes in fp32"))
    return found
