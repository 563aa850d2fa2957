"""The server of the page: for this machine alone, and for nobody who lacks the token in its address.

The server of Python's own library is enough: it answers one reader, with bytes that are read from files. What it has to
be careful about is other pages in the same browser and other users of the machine, and that is asked first of all:

- it listens on 127.0.0.1 alone;
- a request is GET; for the host that was bound (a page elsewhere that has its name lead here says another one: DNS
  rebinding); by a page of ours (`Origin`, `Sec-Fetch-Site`) or typed; and begins with the token;
- answers say what they are, may be used by no other origin, and the page may load nothing from anywhere else.
"""

from __future__ import annotations

import secrets
import sys
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from m3di._version import __version__
from m3di.browse.look import Answer, Look
from m3di.browse.page_files import CONTENT_TYPES, INDEX, page_file
from m3di.errors import M3diError, UsageError

HOST = "127.0.0.1"
POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{what}-src 'self'" for what in ("script", "style", "connect")),
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "private, no-store",
}


class PageServer(ThreadingHTTPServer):
    """A server of a look; `serve_forever` answers until `shutdown`.

    Args:
        look: What is looked at.
        port: Where to listen; 0 takes a free port.

    Raises:
        UsageError: The port is taken.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, look: Look, port: int = 0) -> None:
        self.look, self.token = look, secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                "the port cannot be listened on", where=f"--port {port}", got=error.strerror or error,
                expected="a free port", next_step="leave --port out: a free one is taken",
            ) from error  # fmt: skip

    @cached_property
    def url(self) -> str:
        """Address of the page; whoever has it sees the data."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call this server."""
        return tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a page leaves connections in the middle of an answer: that alone is not printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"m3di/{__version__}", ""
    timeout = 60  # seconds for which a connection may say nothing

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            return self._refuse(*refusal)
        parts = urlsplit(self.path)
        path = [unquote(each) for each in parts.path.split("/")[2:]]
        if parts.path.count("/") < 2:  # the token, without the slash that relative addresses need
            return self._refuse(HTTPStatus.NOT_FOUND, "the address ends in /")
        try:
            found = self._answer(path, dict(parse_qsl(parts.query, keep_blank_values=True)))
        except (LookupError, ValueError):
            found = None
        except M3diError as error:
            return self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        if found is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        return self._send(HTTPStatus.OK, *found)

    def _answer(self, path: list[str], query: dict[str, str]) -> Answer | None:
        name = INDEX if path == [""] else path[0]
        if len(path) == 1 and (content := page_file(name)) is not None:
            return CONTENT_TYPES[name.rpartition(".")[2]], content
        return self.server.look.answer(path, query)

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        """Why a request is not answered, if it is not."""
        host, origin = self.headers.get_all("Host", []), self.headers.get("Origin")
        if len(host) != 1 or host[0] not in self.server.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "this server is called otherwise"
        if origin is not None and origin not in [f"http://{each}" for each in self.server.hosts]:
            return HTTPStatus.FORBIDDEN, "this is for pages of this server"
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN, "this is for pages of this server"
        given = self.path.split("?")[0].split("/")[1:2]
        if not given or not secrets.compare_digest(given[0].encode(), self.server.token.encode()):
            return HTTPStatus.FORBIDDEN, "the address lacks the token that m3di browse printed"
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _send(self, status: HTTPStatus, mime: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": mime, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """As `_refuse`, for what the library itself refuses: any method but GET, lines that are no request."""
        self.close_connection = True
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._refuse(status, status.phrase)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Nothing is printed: addresses hold the token."""


__all__ = ["PageServer"]
