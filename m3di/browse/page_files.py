"""The files of the page: HTML, style, and plain modules of JavaScript, as they lie in `page/`."""

from __future__ import annotations

import re
from importlib.resources import files

INDEX = "index.html"
CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"\./([a-z_]+\.js)";\n', re.MULTILINE)


def page_names() -> list[str]:
    """Names of all files of the page."""
    return sorted(
        each.name for each in (files("m3di.browse") / "page").iterdir() if each.name.endswith(tuple(CONTENT_TYPES))
    )


def page_file(name: str) -> bytes | None:
    """A file of the page, or None where there is none of this name."""
    return (files("m3di.browse") / "page" / name).read_bytes() if name in page_names() else None


def one_module(main: str = "main.js") -> str:
    """All modules as one: what a page on disk runs, where browsers let no module import another one.

    A module comes after those that it imports; imports and the word `export` are taken away. That needs names which no
    two modules share: a browser refuses a script that declares one twice.
    """
    placed: list[str] = []
    texts: list[str] = []

    def place(name: str) -> None:
        if name in placed:
            return
        placed.append(name)
        text = (page_file(name) or b"").decode()
        for other in _IMPORT.findall(text):
            place(other)
        texts.append(re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE))

    place(main)
    return "".join(texts)
