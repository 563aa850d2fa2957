"""Datasets rendered by several machines: parts, URLs, receipts, finalize."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from m3di import Multimodal3DIdent, data, generate
from m3di.cli.main import cli
from m3di.errors import M3diError, UsageError
from m3di.generate import Machines, Part, Staged, ray_tasks
from m3di.generate.ray_tasks import check_node, default_workers
from m3di.latents import load_spec
from m3di.render import Outcome, PoolEvent, RenderJob
from tests.conftest import FakePool, FakeRenderPool, fake_options, slow, write_fake_dataset

SPEC = load_spec("m3di")
NUMBERS = count()


def bytes_of(root: Path) -> dict[str, bytes]:
    """Every file of a dataset; a log is none."""
    return {path.name: path.read_bytes() for path in sorted(root.iterdir()) if path.name != data.LOG}


def remote_bytes(folder: data.Folder) -> dict[str, bytes]:
    return {name: folder.read(name) for name in sorted(folder.sizes()) if not data.is_log(name)}


def deliver(root: str | Path, staging: Path, part: str | None = None, pool: FakePool | None = None) -> int:
    """What `m3di render` does, with noise for images; how many were rendered."""
    plan = generate.make_plan(SPEC, fake_options(staging))
    to = Staged(data.open_folder(root), staging, Part.parse(part) if part else None)
    to.claim(plan)
    used = pool or FakePool(32)
    with to.workplace(plan) as place:
        generate.render_missing(to, place, SPEC, plan, used)
    return used.n_rendered


def place_of(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "s3":
        return request.getfixturevalue("bucket") + "/some/prefix"
    return f"memory://many-{next(NUMBERS)}" if kind == "memory" else str(tmp_path / "shared")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", *slow("folder", "s3")])
def test_parts_in_any_order_give_the_bytes_of_one_run(
    kind: str, fake_dataset: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = place_of(kind, tmp_path, request)
    parts = ["1/3", "2/3", "3/3"]
    random.Random(0).shuffle(parts)
    assert sum(deliver(root, tmp_path / f"machine {part[0]}", part) for part in parts) == 28
    folder = data.open_folder(root)
    assert data.MANIFEST not in folder.sizes()
    assert generate.finalize(folder) == data.read_manifest(fake_dataset)
    assert remote_bytes(folder) == bytes_of(fake_dataset)
    assert generate.finalize(folder) == data.read_manifest(fake_dataset)  # again: nothing to do
    assert Multimodal3DIdent(root)[17]["z_image"] == Multimodal3DIdent(fake_dataset)[17]["z_image"]
    assert not any(path.is_file() for path in tmp_path.glob("machine*/**"))


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_finalize_names_what_is_missing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = place_of(kind, tmp_path, request)
    deliver(root, tmp_path / "a", "1/3")
    with pytest.raises(
        M3diError, match=r"3 shards are missing(?s:.)*train-00001\.tar, train-00002\.tar(?s:.)*2/3, 3/3"
    ):
        generate.finalize(data.open_folder(root))
    deliver(root, tmp_path / "b", "3/3")
    with pytest.raises(
        M3diError, match=r"2 shards are missing(?s:.)*train-00001\.tar, test-00000\.tar(?s:.)*--shards 2/3"
    ):
        generate.finalize(data.open_folder(root))
    assert data.MANIFEST not in data.open_folder(root).sizes()


def test_finalize_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_dataset(tmp_path / "it")
    (root / "val.parquet").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("m3di.generate.finishing.__version__", "9.9")
        with pytest.raises(
            M3diError, match=r"another version of m3di(?s:.)*got: +m3di 9\.9\n(?s:.)*install that version"
        ):
            generate.finalize(data.LocalFolder(root))
        assert not (root / "val.parquet").exists()
    generate.finalize(data.LocalFolder(root))
    data.verify(root)


def test_finalize_where_nothing_is(tmp_path: Path) -> None:
    for root in (tmp_path, "memory://nothing-there"):
        with pytest.raises(M3diError, match=r"no dataset to finish here(?s:.)*--shards I/N"):
            generate.finalize(data.open_folder(root))


def test_a_run_continues_where_it_stopped(fake_dataset: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    class StoppingPool(FakePool):
        def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
            for number, outcome in enumerate(super().outcomes(jobs)):
                if number == 13:
                    raise Stopped
                yield outcome

    root = f"memory://many-{next(NUMBERS)}"
    pool = StoppingPool(32)
    with pytest.raises(Stopped):  # in the second shard
        deliver(root, tmp_path / "stage", pool=pool)
    assert sorted(data.open_folder(root).sizes()) == [
        "begun-2026-01-01.partial",
        data.copy_name(generate.make_plan(SPEC, fake_options(tmp_path))),
        "plan.json.partial",
        "train-00000.tar",
        "train-00000.tar.rows.partial",
    ]
    assert deliver(root, tmp_path / "stage") == 28 - 13
    generate.finalize(data.open_folder(root))
    assert remote_bytes(data.open_folder(root)) == bytes_of(fake_dataset)


def test_a_shard_that_could_not_be_delivered_is_delivered_later(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "shared")

    def fail(*arguments: object) -> None:
        raise M3diError("no network")

    with monkeypatch.context() as patch:
        patch.setattr("m3di.data.upload", fail)
        with pytest.raises(M3diError, match="no network"):
            deliver(root, tmp_path / "stage")
    assert deliver(root, tmp_path / "stage") == 28 - 8
    generate.finalize(data.open_folder(root))
    assert bytes_of(tmp_path / "shared") == bytes_of(fake_dataset)


def test_two_machines_with_one_part(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    data.claim(data.open_folder(root), generate.make_plan(SPEC, fake_options(tmp_path)))
    with (
        data.locked(root, "part-1-of-3.lock"),
        pytest.raises(M3diError, match=r"another process is rendering(?s:.)*part-1-of-3\.lock"),
    ):
        deliver(root, tmp_path / "stage", "1/3")
    deliver(root, tmp_path / "stage", "1/3")
    assert not list(root.glob("*.lock"))


def test_a_part_that_another_machine_has_taken_over_ends(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    lock = root / data.part_lock_name(1, 3)

    class Slow(FakePool):
        def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
            for number, outcome in enumerate(super().outcomes(jobs)):
                if number == 3:
                    lock.write_text('{"host": "elsewhere", "pid": 7, "token": "theirs"}')
                    while not lost:  # until its heart beats
                        time.sleep(0.01)
                yield outcome

    lost: list[bool] = []
    beat = data.HeldLock.beat

    def noted(held: data.HeldLock) -> None:
        beat(held)
        lost.extend([True] * held._is_lost)

    pool = Slow(32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m3di.system.lock.BEAT_S", 0.01)
        patch.setattr(data.HeldLock, "beat", noted)
        with pytest.raises(M3diError, match=r"has taken over this folder(?s:.)*process 7 on elsewhere"):
            deliver(root, tmp_path / "stage", "1/3", pool)
    assert pool.n_rendered == 4
    assert lock.exists()


@pytest.mark.slow
def test_without_a_receipt_the_shard_itself_is_read(fake_dataset: Path, tmp_path: Path) -> None:
    """As after a crash between the two uploads."""
    root = f"memory://many-{next(NUMBERS)}"
    deliver(root, tmp_path)
    folder = data.open_folder(root)
    folder.remove([data.receipt_name("train-00001.tar"), data.receipt_name("val-00000.tar")])
    generate.finalize(folder)
    assert remote_bytes(folder) == bytes_of(fake_dataset)


def test_a_shard_that_is_not_what_its_receipt_says(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    deliver(root, tmp_path / "stage")
    with (root / "train-00001.tar").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(
        M3diError, match=r"not what its receipt says(?s:.)*train-00001\.tar(?s:.)*render its part again"
    ):
        generate.finalize(data.open_folder(root))


def test_a_damaged_receipt(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    deliver(root, tmp_path / "stage")
    (root / data.receipt_name("train-00001.tar")).write_bytes(b"nothing")
    with pytest.raises(M3diError, match=r"receipt of a shard is damaged(?s:.)*train-00001\.tar\.rows(?s:.)*delete it"):
        generate.finalize(data.open_folder(root))


def test_a_shard_without_its_samples(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    deliver(root, tmp_path / "stage")
    (root / data.receipt_name("train-00001.tar")).unlink()
    (root / "train-00002.tar").replace(root / "train-00001.tar")
    deliver(root, tmp_path / "stage")
    with pytest.raises(M3diError, match=r"does not hold its samples(?s:.)*4 samples(?s:.)*000000008 to 000000015"):
        generate.finalize(data.open_folder(root))


@pytest.mark.parametrize("kind", ["memory", *slow("folder")])
def test_another_dataset_in_the_folder_is_refused(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = data.open_folder(place_of(kind, tmp_path, request))
    plan = generate.make_plan(SPEC, fake_options(tmp_path))
    data.claim(folder, plan)
    data.claim(folder, plan)
    for _ in range(2):
        with pytest.raises(M3diError, match=r"a different dataset(?s:.)*seed: 0 \| 1"):
            data.claim(folder, plan.model_copy(update={"seed": 1}))
        if data.MANIFEST not in folder.sizes():
            deliver(str(folder), tmp_path / "stage")
            generate.finalize(folder)


def test_other_files_behind_a_url_are_refused() -> None:
    folder = data.open_folder(f"memory://many-{next(NUMBERS)}")
    folder.create("thesis.tex", b"")
    with pytest.raises(M3diError, match=r"files that are no m3di dataset(?s:.)*thesis\.tex"):
        data.claim(folder, generate.make_plan(SPEC, fake_options(Path("x"))))


def test_parts_are_every_nth_shard() -> None:
    plan = generate.make_plan(SPEC, fake_options(Path("x")))
    shards = list(generate.shards_of(plan))
    parts = [Part.parse(f"{number}/3").shards(plan) for number in (1, 2, 3)]
    assert parts == [shards[0::3], shards[1::3], shards[2::3]]
    assert [len(part) for part in parts] == [2, 2, 1]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", ""])
def test_parts_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"no such part(?s:.)*1/8 for the first"):
        Part.parse(text)


def test_more_parts_than_shards() -> None:
    with pytest.raises(
        UsageError, match=r"6 parts are more than there are shards(?s:.)*at most 5 parts(?s:.)*--shard-size"
    ):
        Part.parse("1/6").shards(generate.make_plan(SPEC, fake_options(Path("x"))))


@pytest.mark.slow
def test_tables_are_written_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("m3di.data.format.table.ROW_GROUP", 7)
    plan = generate.make_plan(SPEC, fake_options(tmp_path))
    tables = []
    for name, size in (("a", 8), ("b", 3)):
        root = tmp_path / name
        sized = plan.model_copy(update={"shard_size": size})
        data.prepare_folder(root, sized)
        generate.render_shards(SPEC, sized, generate.shards_of(sized), root, FakePool(32))
        generate.finish(data.LocalFolder(root), SPEC, sized)
        file = pq.ParquetFile(root / "train.parquet")
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [7, 7, 6]
        tables.append(file.read(columns=["key", "text.caption", "image.object_color", "image.object_contrast"]))
        file.close()
    assert tables[0] == tables[1]


def test_numbers_of_gpus_mean_nothing_to_ray(tmp_path: Path) -> None:
    options = fake_options(tmp_path, gpu=True, gpu_devices=(1,))
    with pytest.raises(UsageError, match=r"--gpu-devices means nothing on a Ray cluster(?s:.)*CUDA_VISIBLE_DEVICES"):
        generate.render(replace(options, out=tmp_path / "out"), machines=Machines(ray="auto"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "n"),
    [([(16, 1)], 8), ([(4, 1), (64, 8)], 2), ([(64, 0), (16, 4)], 2), ([(4, 0)], 1), ([], 1)],
)
def test_workers_of_a_ray_task_share_its_gpu(
    nodes: list[tuple[int, int]], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    found = [{"Alive": True, "Resources": {"CPU": float(cores), "GPU": float(gpus)}} for cores, gpus in nodes]
    dead = {"Alive": False, "Resources": {"CPU": 1.0, "GPU": 1.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [*found, dead])
    assert default_workers(gpu=True) == n
    assert default_workers(gpu=False) == 1


def test_a_ray_task_heeds_the_limits_of_the_command(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = fake_options(tmp_path, worker_memory_gb=2.5, image_timeout_s=7.0, n_workers=3)
    plan = generate.make_plan(SPEC, options)
    made: list[tuple[object, ...]] = []

    class Noted(FakeRenderPool):
        def __init__(self, *args: Any) -> None:
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr("m3di.generate.workers.RenderPool", Noted)
    shard = next(generate.shards_of(plan))
    tasks = ray_tasks.Tasks(options, tmp_path / "stage")
    (tmp_path / "out").mkdir()
    told: list[tuple[str, PoolEvent]] = []
    reports = SimpleNamespace(
        count=SimpleNamespace(remote=lambda *_: None),
        tell=SimpleNamespace(remote=lambda name, event: told.append((name, event))),
    )
    ray_tasks.render_shard_task(ray_tasks.ShardTask(str(tmp_path / "out"), plan, shard.name, tasks), reports)
    ((_, n_workers, limits, _),) = made
    assert n_workers == 3
    assert (limits.memory_bytes, limits.image_timeout_s) == (2_500_000_000, 7.0)  # type: ignore[attr-defined]
    assert (tmp_path / "out" / shard.name).exists()
    assert [(name, event.kind) for name, event in told] == [(shard.name, "image")] * 8
    assert not list((tmp_path / "stage").iterdir())  # nothing is left behind


def test_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(M3diError, match=r"Ray, which is not installed(?s:.)*pip install 'm3di\[ray\]'"):
        generate.render(replace(fake_options(tmp_path), out=tmp_path / "out"), machines=Machines(ray="auto"))
    assert not (tmp_path / "out").exists()


def test_a_node_that_would_render_something_else() -> None:
    plan = generate.make_plan(SPEC, fake_options(Path("x")))
    check_node(SPEC, (), plan)
    other = plan.model_copy(update={"render": {**plan.render, "bpy": "9.9"}})
    with pytest.raises(M3diError, match=r"would render something else(?s:.)*expected: bpy 9\.9(?s:.)*on all nodes"):
        check_node(SPEC, (), other)


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        (Machines(shards="1/2", ray="auto"), "--shards and --ray exclude each other"),
        (Machines(staging=Path("x")), "--staging is of no use here"),
        (Machines(shards="3/2"), r"no such part(?s:.)*3/2"),
    ],
)
def test_options_that_do_not_fit(machines: Machines, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        generate.render(replace(fake_options(tmp_path), out=tmp_path / "out"), machines=machines)
    assert not (tmp_path / "out").exists()


def test_memory_is_no_place_for_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone when it ends(?s:.)*--out memory://x"):
        generate.render(replace(fake_options(tmp_path), out="memory://x"))


def test_finalize_on_the_command_line(fake_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "shared"
    deliver(root, tmp_path / "stage")
    result = CliRunner().invoke(cli, ["finalize", f"file://{root}"], catch_exceptions=False)
    assert "train 20, val 4, test 4 samples" in result.output
    assert bytes_of(root) == bytes_of(fake_dataset)


@pytest.mark.slow
def test_a_rerun_clears_what_a_run_left_behind_a_url(
    bucket: str, fake_dataset: Path, tmp_path: Path, pools: type[FakeRenderPool]
) -> None:
    """The storage failed after the manifest was there; and a process was killed in the middle of an upload."""
    root = f"{bucket}/some/prefix"
    folder = data.open_folder(root)
    deliver(root, tmp_path / "stage")
    kept = {name: folder.read(name) for name in folder.sizes() if name.endswith(data.PARTIAL)}
    assert len(kept) == 3 + 5  # two notes of the plan, one of the day, and a receipt for each shard
    generate.finalize(folder)
    for name, content in {**kept, "train-00000.tar.0123456789ab.partial": b"half"}.items():
        folder.create(name, content)
    files = folder._files  # type: ignore[union-attr]
    for key in ("some/prefix/train-00000.tar", "some/prefix-of-others/train-00000.tar"):
        files.call_s3("create_multipart_upload", Bucket="m3di-test", Key=key)
    options = replace(fake_options(tmp_path), out=root)
    machines = Machines(staging=tmp_path / "stage")
    assert generate.render(options, machines=machines) == data.read_manifest(fake_dataset)
    assert remote_bytes(folder) == bytes_of(fake_dataset)
    uploads = files.call_s3("list_multipart_uploads", Bucket="m3di-test")["Uploads"]
    assert [each["Key"] for each in uploads] == ["some/prefix-of-others/train-00000.tar"]
    files.call_s3("abort_multipart_upload", Bucket="m3di-test", Key=uploads[0]["Key"], UploadId=uploads[0]["UploadId"])


@pytest.mark.slow
def test_where_uploads_may_not_be_listed_they_stay(
    bucket: str, fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{bucket}/here"
    folder = data.open_folder(root)
    deliver(root, tmp_path / "stage")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(folder._files, "call_s3", refuse, raising=False)  # type: ignore[union-attr]
    assert generate.finalize(folder) == data.read_manifest(fake_dataset)


def test_what_a_run_with_a_failed_image_has_rendered_is_kept(fake_dataset: Path, tmp_path: Path) -> None:
    class Failing(FakePool):
        def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
            for outcome in super().outcomes(jobs):
                bad = "000000010" in outcome.job.name
                yield Outcome(outcome.job, None, "it is bad") if bad else outcome

    root = f"memory://many-{next(NUMBERS)}"
    folder = data.open_folder(root)
    stage = tmp_path / "stage"
    with pytest.raises(M3diError, match=r"1 image could not be rendered(?s:.)*it is bad"):
        deliver(root, stage, pool=Failing(32))
    assert "train-00001.tar" not in folder.sizes()
    assert deliver(root, stage) == 1  # the one that failed, and none of the seven beside it
    generate.finalize(folder)
    assert remote_bytes(folder) == bytes_of(fake_dataset)


def test_a_long_list_of_failed_images_names_the_log_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FakePool):
        def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
            for number, outcome in enumerate(super().outcomes(jobs)):
                yield outcome if number % 2 else Outcome(outcome.job, None, "it is bad")

    monkeypatch.setattr("m3di.generate.missing_shards.MAX_FAILURES_SHOWN", 1)
    root = f"memory://many-{next(NUMBERS)}"
    with pytest.raises(M3diError, match=r"and \d+ more; render\S*part-1-of-2\S* has all of them"):
        deliver(root, tmp_path / "stage", "1/2", Failing(32))


def test_two_runs_with_one_staging_folder(tmp_path: Path) -> None:
    folder, plan = data.open_folder(tmp_path / "shared"), generate.make_plan(SPEC, fake_options(tmp_path))
    stage = Staged(folder, tmp_path / "stage").work_path(plan)
    stage.mkdir(parents=True)
    with data.locked(stage), pytest.raises(M3diError, match="another process is rendering into this folder"):
        deliver(tmp_path / "shared", tmp_path / "stage")
    assert deliver(tmp_path / "shared", tmp_path / "stage") == 28


def test_a_receipt_that_lacks_rows(tmp_path: Path) -> None:
    root = tmp_path / "shared"
    deliver(root, tmp_path / "stage")
    receipt = data.read_receipt(data.open_folder(root), "train-00001.tar")
    short = replace(receipt, rows=receipt.rows.slice(0, receipt.rows.num_rows - 1))
    (root / data.receipt_name("train-00001.tar")).write_bytes(short.to_bytes())
    with pytest.raises(M3diError, match=r"not what its receipt says(?s:.)*train-00001\.tar"):
        generate.finalize(data.open_folder(root))
