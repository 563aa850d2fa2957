from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from m3di import Multimodal3DIdent, data, generate
from m3di.cli.main import cli, main
from m3di.errors import (
    DataError,
    DeviceError,
    DiskError,
    InterruptedRunError,
    M3diError,
    UsageError,
    near_match,
    without_credentials,
)
from m3di.render.gpu import choose_gpus


def test_a_message_has_what_where_got_expected_and_next() -> None:
    error = M3diError("it broke", where="here", got=3, expected="4", next_step="mend it")
    assert str(error).splitlines() == [
        "it broke",
        "  where:    here",
        "  got:      3",
        "  expected: 4",
        "  next:     mend it",
    ]


def test_parts_that_are_not_given_are_left_out() -> None:
    assert str(UsageError("it broke")) == "it broke"


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(UsageError("it broke", got=3)))
    assert isinstance(error, UsageError)
    assert str(error) == "it broke\n  got:      3"
    assert error.exit_code == 2


@pytest.mark.parametrize("kind", [UsageError, DataError, DeviceError, DiskError, InterruptedRunError])
def test_kinds_can_be_told_apart_in_another_process_too(kind: type[M3diError]) -> None:
    error = pickle.loads(pickle.dumps(kind("it broke", where="here")))
    assert type(error) is kind
    assert isinstance(error, M3diError)
    assert error.exit_code == (2 if kind is UsageError else 1)


def test_what_is_no_dataset_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no m3di dataset here"):
        data.read_manifest(tmp_path)


def test_datasets_nearby_are_named(tmp_path: Path) -> None:
    for name in ("mine", ".unfinished"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "dataset.json").write_text("{}")
    for wrong in ("data", "data/m3di"):  # the folder above, and one beside
        with pytest.raises(DataError) as error:
            data.read_manifest(tmp_path / wrong)
        assert error.value.details["next"] == f"did you mean {tmp_path / 'data' / 'mine'}?"
    with pytest.raises(DataError, match=r"m3di example data/example"):
        data.read_manifest(tmp_path / "elsewhere" / "m3di")


def test_a_full_disk_is_the_disks(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="the disk is full"), data.disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_no_gpu_is_the_devices() -> None:
    with pytest.raises(DeviceError, match="Cycles finds no GPU"):
        choose_gpus([])


def test_near_match() -> None:
    assert near_match("m3dii", ["m3di", "other"]) == "m3di"
    assert near_match("zzz", ["m3di"]) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://KEY:SECRET@bucket/a", "s3://***@bucket/a"),
        ("s3://KEY:SEC/RET+x==@bucket/a", "s3://***@bucket/a"),
        ("--out ftp://joe:p@ss@host/a, then", "--out ftp://***@host/a, then"),
        ("https://TOKEN@host/a", "https://***@host/a"),
        ("/here/s3:/KEY:SECRET@bucket", "/here/s3:/***@bucket"),  # as a path
        ("http://h/a?X-Amz-Signature=SECRET&x=1", "http://h/a?X-Amz-Signature=***&x=1"),
        ("az://c/a?se=2026&SIG=SE%2FCRET", "az://c/a?se=2026&SIG=***"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("write to joe@example.org", "write to joe@example.org"),
        ("C:/Users/joe", "C:/Users/joe"),
    ],
)
def test_credentials_of_urls_are_not_shown(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    error = M3diError(text, where=text, got=text, expected=text, next_step=text)
    assert list(error.details.values()) == [shown] * 4
    assert error.what == shown
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_a_library_says_of_a_url_shows_no_credentials_either() -> None:
    """Without `://` nobody can tell: but it is the same text."""
    error = M3diError("it broke", where="s3://KEY:SECRET@bucket", got='Invalid name "KEY:SECRET@bucket"; SECRET')
    assert error.details["got"] == 'Invalid name "***@bucket"; ***'


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "s3://KEY:topSECRET@b/none"),
        ("verify", "ftp://KEY:topSECRET@localhost:9/none"),
        ("verify", "https://localhost:9/none?X-Amz-Signature=topSECRET"),
        ("subset", "s3://KEY:top/SECRET@b/none", "--out", "out"),
        ("merge", "a", "b", "--out", "s3://KEY:topSECRET@b/none"),
        ("finalize", "s3://KEY:topSECRET@b/none"),
        ("train", "--data", "s3://KEY:topSECRET@b/none"),
        ("render", "--n", "1", "--out", "memory://KEY:topSECRET@b/none"),
    ],
)
def test_no_command_shows_them(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://joe:topSECRET@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("sys.argv", ["m3di", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capsys.readouterr())
    assert ended.value.code in (1, 2)
    assert said.startswith("Error: ")
    assert "SECRET" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "a", "s3://KEY:topSECRET@b"),
        ("info", "--s3://KEY:topSECRET@b"),
        ("s3://KEY:topSECRET@b",),
        ("render", "--n", "s3://KEY:topSECRET@b"),
        ("render", "--quality", "s3://KEY:topSECRET@b"),
    ],
)
def test_a_mistyped_command_shows_none(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["m3di", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capsys.readouterr())
    assert ended.value.code == 2
    assert "s3://***@b" in said
    assert "SECRET" not in said


@pytest.mark.parametrize(
    "arguments",
    [("subset", "x", "--out"), ("verify",), ("finalize",), ("render", "--out"), ("render", "--shards", "1/2", "--out")],
)
def test_what_is_printed_of_success_shows_none(
    arguments: tuple[str, ...], fake_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = data.read_manifest(fake_dataset)
    for module, name in ((data, "subset"), (data, "verify"), (generate, "finalize")):
        monkeypatch.setattr(module, name, lambda *_, **__: manifest)
    is_part = "--shards" in arguments
    monkeypatch.setattr(generate, "render", lambda *_, **__: None if is_part else manifest)
    result = CliRunner().invoke(cli, [*arguments, "memory://KEY:topSECRET@host/m3di"], catch_exceptions=False)
    assert "memory://***@host/m3di" in result.output
    assert "SECRET" not in result.output


def test_a_dataset_does_not_show_them(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    dataset.root = "https://KEY:topSECRET@host/m3di"
    assert repr(dataset).startswith("Multimodal3DIdent('https://***@host/m3di', ")
