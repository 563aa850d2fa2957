"""Where a dataset lies: `~`, links, other folders, URLs; what is read is what was opened, in workers too."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch.utils.data import DataLoader

from m3di import Multimodal3DIdent
from m3di.cli.main import cli
from m3di.data import Batches, export, import_published, info, merge, read_manifest, subset, verify, whole_batch
from m3di.errors import M3diError, UsageError
from tests.conftest import slow, write_fake_dataset


class Server(SimpleHTTPRequestHandler):
    """Files of a folder; with byte ranges, or in whole."""

    with_ranges = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        path, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not self.with_ranges or wanted is None or not path.is_file():
            super().do_GET()
            return
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        raw = path.read_bytes()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{min(last, len(raw) - 1)}/{len(raw)}")
        self.send_header("Content-Length", str(len(raw[first : last + 1])))
        self.end_headers()
        self.wfile.write(raw[first : last + 1])


@contextlib.contextmanager
def served(folder: Path, with_ranges: bool = True) -> Iterator[str]:
    handler = type("Handler", (Server,), {"with_ranges": with_ranges})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def url(fake_dataset: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    with served(fake_dataset.parent) as address:
        yield f"{address}/{fake_dataset.name}"


@pytest.mark.slow
def test_home(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(fake_dataset, tmp_path / "data")
    home = Path("~/data")
    assert len(Multimodal3DIdent("~/data")) == len(Multimodal3DIdent(home)) == 20
    assert verify(home).n_samples["train"] == 20
    assert info(home) == info(fake_dataset)
    subset(home, Path("~/some"), where="image.object_shape < 3")
    subset(home, Path("~/others"), where="image.object_shape >= 3")
    merge([Path("~/some"), Path("~/others")], Path("~/all"))
    export(Path("~/all"), "imagefolder", Path("~/folder"))
    export(Path("~/data"), "upstream", Path("~/up"))
    import_published(Path("~/up"), Path("~/back"))
    for place in ("~/back", f"file://{tmp_path}/back"):
        assert len(Multimodal3DIdent(place)) == 20
        for more in ([], ["--repair"]):
            assert CliRunner().invoke(cli, ["verify", place, *more], catch_exceptions=False).exit_code == 0
    assert not (tmp_path / "~").exists()
    with pytest.raises(M3diError, match="no m3di dataset here"):
        Multimodal3DIdent("~nobody-of-this-name/data")


@pytest.mark.slow
def test_a_url_where_a_folder_of_this_machine_is_wanted(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root, url = str(fake_dataset), "memory://elsewhere/new"
    for arguments in (
        ["subset", root, "--out", url],
        ["merge", root, root, "--out", url],
        ["export", root, "--to", "upstream", "--out", url],
        ["export", url, "--to", "upstream", "--out", "new"],
        ["import", root, url],
        ["import", url, "new"],
    ):
        with pytest.raises(UsageError, match=r"folders of this machine, not on a URL(?s:.)*memory://elsewhere/new"):
            CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not list(tmp_path.iterdir())
    for name, condition in (("some", "image.object_shape < 3"), ("others", "image.object_shape >= 3")):
        subset(f"file://{root}", f"file://{tmp_path}/{name}", where=condition)
    CliRunner().invoke(cli, ["merge", f"file://{tmp_path}/some", "others", "--out", "all"], catch_exceptions=False)
    CliRunner().invoke(cli, ["export", f"file://{tmp_path}/all", "--to", "imagefolder", "--out", "folder"])
    assert verify("all").n_samples == verify(fake_dataset).n_samples
    assert (tmp_path / "folder" / "train" / "metadata.jsonl").is_file()


def test_a_folder_whose_name_looks_like_a_url_to_arrow(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subset(fake_dataset, "memory:/some", n=3)
    assert verify(tmp_path / "memory:" / "some").n_samples["train"] == 3


def test_another_folder_meanwhile(fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(fake_dataset, tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    dataset = Multimodal3DIdent("data")
    expected = Multimodal3DIdent(fake_dataset)[:]["image"]
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert torch.equal(dataset[:]["image"], expected)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[:]["image"], expected)


@pytest.mark.parametrize("layout", ["shards", *slow("published")])
def test_a_link_that_leads_to_another_dataset_meanwhile(fake_dataset: Path, tmp_path: Path, layout: str) -> None:
    first, second = fake_dataset, write_fake_dataset(tmp_path / "second", seed=1)
    expected = Multimodal3DIdent(first)[:]
    if layout == "published":
        for number, root in enumerate((first, second)):
            export(root, "upstream", tmp_path / f"up-{number}")
        first, second = tmp_path / "up-0", tmp_path / "up-1"
    (tmp_path / "current").symlink_to(first)
    dataset = Multimodal3DIdent(tmp_path / "current")
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(second)
    for each in (dataset, pickle.loads(pickle.dumps(dataset))):
        batch = each[:]
        assert batch["caption"] == expected["caption"]
        assert torch.equal(batch["image"], expected["image"])
    assert Multimodal3DIdent(tmp_path / "current")[0]["caption"] != expected["caption"][0]


@pytest.mark.parametrize("n_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_url_in_forked_workers(fake_dataset: Path, url: str, n_workers: int) -> None:
    remote, local = Multimodal3DIdent(url), Multimodal3DIdent(fake_dataset)
    first = remote[0]  # the parent has a connection
    fork = multiprocessing.get_context("fork") if n_workers else None
    loader: DataLoader[Any] = DataLoader(
        remote,
        batch_sampler=Batches(remote, 6, shuffle=False),
        collate_fn=whole_batch,
        num_workers=n_workers,
        multiprocessing_context=fork,
    )
    assert torch.equal(torch.cat([batch["image"] for batch in loader]), local[:]["image"])
    assert torch.equal(remote[0]["image"], first["image"])


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_server_without_byte_ranges(fake_dataset: Path, on_error: Any) -> None:
    pytest.importorskip("aiohttp")
    with served(fake_dataset, with_ranges=False) as address:
        dataset = Multimodal3DIdent(address, on_error=on_error)
        for index in (0, [1, 2]):
            with pytest.raises(M3diError, match=r"sends whole files(?s:.)*train-00000\.tar(?s:.)*HTTP range requests"):
                dataset[index]
        with pytest.raises(M3diError, match="sends whole files"):
            subset(address, fake_dataset.parent / "never", n=1)
    shutil.rmtree(fake_dataset.parent / "never", ignore_errors=True)


@pytest.mark.slow
def test_commands_take_urls(fake_dataset: Path, url: str, tmp_path: Path) -> None:
    assert verify(url) == verify(fake_dataset)
    assert info(url) == info(fake_dataset)
    subset(url, tmp_path / "there", where="image.object_shape < 4")
    subset(fake_dataset, tmp_path / "here", where="image.object_shape < 4")
    assert read_manifest(tmp_path / "there").fingerprint == read_manifest(tmp_path / "here").fingerprint
    for command in (["info"], ["verify"], ["verify", "--quick"], ["subset", "--n", "2", "--out", str(tmp_path / "2")]):
        done = CliRunner().invoke(cli, [command[0], url, *command[1:]], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    with pytest.raises(UsageError, match=r"at a URL cannot be repaired there(?s:.)*copy it to a folder"):
        CliRunner().invoke(cli, ["verify", url, "--repair"], catch_exceptions=False)


@pytest.mark.slow
def test_damage_at_a_url(fake_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    root = Path(shutil.copytree(fake_dataset, tmp_path / "it"))
    raw = bytearray((root / "val-00000.tar").read_bytes())
    raw[600] ^= 1
    (root / "val-00000.tar").write_bytes(raw)
    (root / "test-00000.tar").unlink()
    with served(root) as address:
        with pytest.raises(M3diError, match=r"2 of its files(?s:.)*val-00000\.tar: sha256(?s:.)*put the dataset there"):
            verify(address)
        with pytest.raises(M3diError, match=r"test-00000\.tar: missing"):
            verify(address, quick=True)
        with pytest.raises(M3diError, match=r"sample 0 of split 'test' cannot be read(?s:.)*there is no such file"):
            Multimodal3DIdent(address, split="test")[0]
    with pytest.raises(M3diError, match="the storage cannot be reached"):
        Multimodal3DIdent(address)


def test_where_there_is_no_dataset(fake_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "plan.json.partial").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    below = rf"did you mean {fake_dataset}\?"
    cases = [
        (tmp_path / "nowhere", r"got:      nothing\n(?s:.)*check the path;(?s:.)*m3di example"),
        (tmp_path / "link", "nothing"),
        (fake_dataset / "dataset.json", rf"got:      a file(?s:.)*give the folder that it lies in: {fake_dataset}"),
        (fake_dataset.parent, below),
        (tmp_path / "unfinished", r"an unfinished run(?s:.)*the command that began it once more"),
    ]
    for place, message in cases:
        for read in (Multimodal3DIdent, verify, info):
            with pytest.raises(M3diError, match=rf"no m3di dataset here(?s:.)*{message}") as error:
                read(place)
            assert "m3di render --" not in str(error.value)


def test_the_published_layout_is_imported_first(fake_dataset: Path, tmp_path: Path) -> None:
    export(fake_dataset, "upstream", tmp_path / "up")
    for read in (verify, lambda root: subset(root, tmp_path / "out", n=1)):
        with pytest.raises(M3diError, match=r"the published layout has no manifest(?s:.)*m3di import makes"):
            read(tmp_path / "up")


def test_no_hint_starts_a_dataset() -> None:
    """`m3di render` alone, with any options, is 145,000 images of the spec `m3di`."""
    root = Path(__file__).parents[2] / "m3di"
    hints = [
        (path.name, line.strip())
        for path in root.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "next_step=" in line and "m3di render -" in line
    ]
    assert hints == []
