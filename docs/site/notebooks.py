"""Tutorials as notebooks: made of their pages, executed, and shown with what each cell has printed and drawn."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FENCE = re.compile(r"^```(yaml|python|sh)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!http)[^)]*\)")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n)")
"""Colours, and lines that were written over."""
PER_CELL_S = 600
AT_ONCE = 2
QUIET = "--Application.log_level=40"  # it warns that others on this machine may listen: there is nothing to hide


@dataclass(frozen=True)
class Tutorial:
    """An executed notebook.

    Attributes:
        notebook: The file `NAME.ipynb`.
        page: Markdown, with the outputs below each block.
        pictures: What the cells have drawn: PNG by file name.
    """

    notebook: bytes
    page: str
    pictures: dict[str, bytes]


def executed(pages: dict[str, str]) -> dict[str, Tutorial]:
    """Run pages as notebooks, each in a folder and a kernel of its own.

    Args:
        pages: Markdown by name.

    Raises:
        CellExecutionError: A cell has failed.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(pages, pool.map(_executed, pages, pages.values()), strict=True))


def notebook_of(page: str) -> nbformat.NotebookNode:
    """Make a notebook of a page: Python stays, commands and files become what Jupyter runs and writes.

    Of links to other pages the texts stay: a notebook has no pages beside it.
    """
    cells = []
    for language, text in _parts(page):
        if language:
            cells.append(new_code_cell(_for_jupyter(language, text)))
        elif text.strip():
            cells.append(new_markdown_cell(LINK.sub(r"\1", text.strip())))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # not a random one: the same page gives the same file
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _parts(page: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a page with their languages, and the texts between them with none."""
    parts = FENCE.split(page)
    for text, language, block in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True):
        yield "", text
        if language:
            yield language, block


def _for_jupyter(language: str, block: str) -> str:
    block = block.rstrip()
    if language == "yaml":
        first, rest = block.split("\n", 1)
        return f"%%writefile {first.removeprefix('# file: ')}\n{rest}"
    return block if language == "python" else re.sub(r"^(?=m3di )", "!", block, flags=re.MULTILINE)


def _executed(name: str, page: str) -> Tutorial:
    notebook = notebook_of(page)
    with TemporaryDirectory(prefix="m3di-notebook-") as folder:
        place = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=PER_CELL_S, startup_timeout=PER_CELL_S, resources=place)
        client.extra_arguments = [QUIET]
        client.execute(env=_environment(folder))
    outputs = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    title, _, rest = page.partition("\n")
    shown, pictures = [f"{title}\n\n[Download this page as a notebook]({name}.ipynb)\n"], {}
    for language, text in _parts(rest):
        shown.append(f"```{language}\n{text}```\n" if language else text)
        for kind, said in _said(next(outputs)) if language and language != "yaml" else ():
            if kind == "text/plain":
                shown.append(f"\n```{{.text .output}}\n{said}\n```\n")
            else:
                picture = f"{name}-{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode(said)
                shown.append(f"\n![What the code above has drawn]({picture})\n")
        if language == "yaml":
            next(outputs)  # `Writing NAME`
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day
    return Tutorial((nbformat.writes(notebook) + "\n").encode(), "".join(shown), pictures)


def _environment(folder: str) -> dict[str, str]:
    """Variables of a kernel: the commands of this environment come first, and nothing is left in the user's folders."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        **os.environ,
        "PATH": path,
        "IPYTHONDIR": f"{folder}/.ipython",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "TTY_COMPATIBLE": "0",  # no bars that move
    }


def _said(outputs: list[nbformat.NotebookNode]) -> Iterator[tuple[str, str]]:
    """Yield what a cell has printed and drawn, in order: kind and content; texts that follow each other as one."""
    printed = ""
    for output in outputs:
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            if printed.strip():
                yield "text/plain", printed.rstrip()
            printed = ""
            yield "image/png", data["image/png"]
        else:
            printed += CONTROL.sub("", data.get("text/plain", ""))
    if printed.strip():
        yield "text/plain", printed.rstrip()
