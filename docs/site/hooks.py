"""What the site adds to the pages of docs/: files they link to, the help of commands, what tutorials print and draw."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from m3di._version import __version__
from m3di.cli.main import cli

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads this file alone

from notebooks import Tutorial, executed

ROOT = Path(__file__).parents[2]
TUTORIALS = "tutorials"
WIDTH = 100
"""Columns of the help of commands."""
BESIDE = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
BELOW = {"benchmarks/RESULTS.md": "results.md", "templates/README.md": "templates.md"}
PAGES = {
    **{name: f"project/{name.lower()}" for name in BESIDE},
    **{of: f"project/{name}" for of, name in BELOW.items()},
}
"""Pages of the site by their place in the repository."""
_executed: dict[str, Tutorial] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show the version of the package that the site was made of."""
    config.extra["version_of_m3di"] = __version__
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and those that are made."""
    for of, to in PAGES.items():
        content = (ROOT / of).read_text(encoding="utf-8")
        files.append(File.generated(config, to, content=content))
        for picture in pictures(content):  # they stay beside their page
            place = f"{to.rpartition('/')[0]}/{picture}"
            files.append(File.generated(config, place, content=((ROOT / of).parent / picture).read_bytes()))
    files.append(File.generated(config, "commands.md", content=command_line()))
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / TUTORIALS).glob("*.md"))}
    for name, tutorial in executed(pages).items():
        _executed[f"{TUTORIALS}/{name}.md"] = tutorial
        made = {f"{name}.ipynb": tutorial.notebook, **tutorial.pictures}
        for file, content in made.items():
            files.append(File.generated(config, f"{TUTORIALS}/{file}", content=content))
    return files


def pictures(markdown: str) -> list[str]:
    """List the files of the repository that a page shows."""
    return sorted({each for each in re.findall(r"!\[[^\]]*\]\(([^)#\s]+)\)", markdown) if "://" not in each})


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site; what the site does not have becomes plain text. Tutorials
    show what their code has printed and drawn.
    """
    place = page.file.src_uri
    if place in _executed:
        markdown = _executed[place].page
    origin = {to: of for of, to in PAGES.items()}.get(place, f"docs/{place}")
    above = "../" * place.count("/")

    def linked(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if target.startswith(("http", "mailto:")):
            return found[0]
        full = _normal(Path(origin).parent / target)
        to = PAGES.get(full) or (full.removeprefix("docs/") if full.startswith("docs/") else None)
        return f"[{text}]({above}{to}{anchor})" if to and files.get_file_from_path(to) else text

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)", linked, markdown)


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def command_line() -> str:
    """Every command with its help, as `--help` prints it."""
    names = {"help_option_names": cli.context_settings["help_option_names"]}
    said = ["# Every command", "", "Each page of `--help`, as it is printed."]
    for path, command in _commands(cli, "m3di"):
        context = click.Context(command, info_name=path, max_content_width=WIDTH, terminal_width=WIDTH, **names)
        said += ["", f"## `{path}`", "", "```text", command.get_help(context), "```"]
    return "\n".join(said) + "\n"


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    below = sorted(command.commands.items()) if isinstance(command, click.Group) else []
    return [(path, command), *(each for name, child in below for each in _commands(child, f"{path} {name}"))]
