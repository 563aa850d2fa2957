"""Tutorials become notebooks: what a page says is in its cells, and what the cells say is on its page."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = """# A title

See [the other page](../other.md), or [the web](https://example.org/).

```yaml
# file: mine.yaml
name: mine
```

Between.

```sh
m3di specs check mine.yaml
m3di specs list
```

```python
print(6 * 7)
```

At the end.
"""


@pytest.fixture(scope="module")
def notebooks() -> Iterator[ModuleType]:
    """The extra `docs`; it is no part of the package."""
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("notebooks", DOCS / "site" / "notebooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "notebooks", module)
        spec.loader.exec_module(module)
        yield module


def sources(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_files_and_commands_become_what_jupyter_runs(notebooks: ModuleType) -> None:
    assert sources(notebooks.notebook_of(PAGE)) == [
        ("markdown", "# A title\n\nSee the other page, or [the web](https://example.org/)."),
        ("code", "%%writefile mine.yaml\nname: mine"),
        ("markdown", "Between."),
        ("code", "!m3di specs check mine.yaml\n!m3di specs list"),
        ("code", "print(6 * 7)"),
        ("markdown", "At the end."),
    ]
    assert notebooks.notebook_of(PAGE) == notebooks.notebook_of(PAGE)


@pytest.mark.parametrize("path", sorted((DOCS / "tutorials").glob("*.md")), ids=lambda path: path.stem)
def test_each_tutorial_is_a_sound_notebook(path: Path, notebooks: ModuleType) -> None:
    import nbformat

    notebook = notebooks.notebook_of(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert sum(kind == "code" for kind, _ in sources(notebook)) >= 2


def test_what_is_printed_over_itself_is_shown_once(notebooks: ModuleType) -> None:
    from nbformat.v4 import new_output

    printed = new_output("stream", text="1 of 2\r\x1b[2K2 of 2\r\ndone\n")
    drawn = new_output("display_data", {"image/png": "cGljdHVyZQ==", "text/plain": "<Figure>"})
    value = new_output("execute_result", {"text/plain": "42"}, execution_count=1)
    assert list(notebooks._said([printed, drawn, value])) == [
        ("text/plain", "2 of 2\r\ndone"),
        ("image/png", "cGljdHVyZQ=="),
        ("text/plain", "42"),
    ]


@pytest.mark.slow
def test_a_page_shows_what_its_cells_have_said(notebooks: ModuleType) -> None:
    """In a process of its own: clients of kernels leave sockets open, and warnings are errors here."""
    page = "# It\n\n```python\nprint(6 * 7)\n```\n\n```python\nfrom PIL import Image\nImage.new('L', (2, 3))\n```\n"
    code = f"""
import sys
sys.path.insert(0, {str(DOCS / "site")!r})
from notebooks import executed
made = executed({{"it": {page!r}}})["it"]
assert made.page.startswith("# It\\n\\n[Download this page as a notebook](it.ipynb)\\n"), made.page
assert "```{{.text .output}}\\n42\\n```" in made.page, made.page
assert "](it-1.png)" in made.page, made.page
assert made.pictures["it-1.png"].startswith(b"\\x89PNG")
executed({{"it": "# It\\n\\n```python\\n1 / 0\\n```\\n"}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr, done.stderr
    assert "AssertionError" not in done.stderr.split("CellExecutionError")[0], done.stderr
