"""The server answers its own page, and nobody else."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from m3di.browse import Look, PageServer, open_look
from m3di.browse.page_files import page_names
from m3di.errors import UsageError

Serve = Callable[[Look], PageServer]


def ask(
    server: PageServer, path: str, method: str = "GET", token: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{server.token if token is None else token}/{path}", headers=named)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_the_page_and_its_files(look: Look, serve: Serve) -> None:
    server = serve(look)
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    assert len(server.token) >= 32
    for name in ["", *page_names()]:
        status, headers, content = ask(server, name)
        assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert int(headers["Content-Length"]) == len(content) > 0
    assert b"https://" not in b"".join(ask(server, name)[2] for name in page_names())  # from nowhere else


def test_what_is_asked_of_the_data(look: Look, many: Path, serve: Serve) -> None:
    server = serve(look)
    about = json.loads(ask(server, "about.json")[2])
    table = pd.concat([pd.read_parquet(many / f"{each}.parquet") for each in about["splits"]], ignore_index=True)
    assert about["n_rows"] == len(table) == 320
    for each in about["columns"][1:]:
        status, _, content = ask(server, f"column/{each['name']}")
        assert status == 200
        np.testing.assert_array_equal(
            np.frombuffer(content, f"<{np.dtype(each['dtype']).str[1:]}"), table[each["name"]]
        )
    rows = json.loads(ask(server, "rows.json?of=7,300")[2])
    assert [each["key"] for each in rows] == [table["key"][7], table["key"][300]]
    bits = np.unpackbits(np.frombuffer(ask(server, "search?text=HARE")[2], np.uint8), bitorder="little")[:320]
    np.testing.assert_array_equal(bits, table["text.caption"].str.contains("hare", case=False).to_numpy())
    own = table.iloc[300]
    with (many / own["shard"]).open("rb") as shard:
        shard.seek(own["png_offset"])
        assert ask(server, "image/300/image")[2] == shard.read(own["png_size"])


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "column/key", "column/shard", "column/image.render_seed", "rows.json", "rows.json?of=",
        "rows.json?of=x", "rows.json?of=320", "rows.json?of=-1", "image/0/text", "image/0/latents", "image/x/image",
        "image/320/image", "pass/0/image/mask", "map/image", "map-rows", "nearest.json/image/0", "curves.json",
        "../main.js", "%2e%2e/main.js", "..%2f..%2fserver.py", "page/main.js", "__init__.py", "search",
    ],
)  # fmt: skip
def test_what_is_not_there(look: Look, serve: Serve, path: str) -> None:
    assert ask(serve(look), path)[0] == 404


def test_a_search_that_is_too_long_is_refused(look: Look, serve: Serve) -> None:
    server = serve(look)
    assert ask(server, f"search?text={'a' * 1000}")[0] == 200
    status, _, content = ask(server, f"search?text={'a' * 1001}")
    assert status == 422
    assert b"the text to search for is too long" in content and b"1,001 characters" in content


def test_no_more_rows_than_a_page_needs(look: Look, serve: Serve) -> None:
    assert ask(serve(look), "rows.json?of=" + ",".join(["0"] * 1001))[0] == 404
    assert ask(serve(look), "rows.json?of=" + ",".join(["0"] * 1000))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
    ],
)
def test_other_pages_and_other_names_are_refused(
    look: Look, serve: Serve, headers: dict[str, str], status: int
) -> None:
    found, _, content = ask(serve(look), "about.json", **headers)
    assert found == status
    assert (b"n_rows" in content) is (status == 200)


def test_its_own_names_are_answered(look: Look, serve: Serve) -> None:
    server = serve(look)
    for host in (f"127.0.0.1:{server.server_port}", f"localhost:{server.server_port}"):
        assert ask(server, "about.json", Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize("token", ["", "wrong", "%00", "%C3%A9"])
def test_without_the_token_nothing_is_told(look: Look, serve: Serve, token: str) -> None:
    server = serve(look)
    for path in ("", "about.json", "main.js", "image/0/image"):
        status, _, content = ask(server, path, token=token)
        assert status == 403
        assert server.token.encode() not in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
def test_nothing_but_get(look: Look, serve: Serve, method: str) -> None:
    assert ask(serve(look), "about.json", method)[0] == 405


def test_only_this_machine_is_listened_to(look: Look, serve: Serve) -> None:
    assert serve(look).socket.getsockname()[0] == "127.0.0.1"


def test_what_is_no_request(look: Look, serve: Serve) -> None:
    server = serve(look)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"Bad Request" in connection.recv(1000)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(f"GET /{server.token}/about.json HTTP/1.1\r\n\r\n".encode())
        assert b" 421 " in connection.recv(1000)  # no host


@pytest.mark.slow
def test_many_at_once(look: Look, serve: Serve) -> None:
    server = serve(look)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda row: ask(server, f"image/{row}/image")[2], range(320)))
    for row, content in enumerate(found):
        block, own = look.gathered.place(row)
        assert content == block.files.read(own, "image")


def test_a_taken_port_is_told(look: Look, serve: Serve) -> None:
    with pytest.raises(UsageError, match="the port cannot be listened on"):
        PageServer(look, serve(look).server_port)


def test_a_damaged_image_is_one_message(many: Path, tmp_path: Path, serve: Serve) -> None:
    import shutil

    root = shutil.copytree(many, tmp_path / "damaged")
    server = serve(open_look([root]))
    (root / "test-00000.tar").unlink()
    status, _, content = ask(server, "image/319/image")
    assert status == 422
    assert b"a file of a sample cannot be read" in content
    assert ask(server, "image/0/image")[0] == 200


def test_what_nobody_foresaw_is_printed(
    look: Look, serve: Serve, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(look)
    monkeypatch.setattr(Look, "answer", lambda *_: len(3))  # type: ignore[arg-type]
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "about.json")
    for _ in range(1200):
        if "TypeError" in (said := capfd.readouterr().err):
            break
        time.sleep(0.05)
    assert "TypeError" in said
