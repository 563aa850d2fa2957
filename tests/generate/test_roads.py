"""Every option of `m3di render` on every road that a run can take: heeded, or refused with a message.

A new option fails here until it is written down what it does: its words on the command line, and how it is seen.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from m3di import data, generate
from m3di.cli.main import cli
from m3di.cli.options import WORKERS
from m3di.errors import M3diError, UsageError
from m3di.generate.repair import repair
from m3di.generate.twins import render_twin
from m3di.render import QUALITIES
from tests.cli.test_main import failed, m3di
from tests.conftest import KEPT, FakeRenderPool, fake_options, slow, write_fake_dataset
from tests.generate.test_run import bytes_of


@dataclass(frozen=True)
class Option:
    """An option of `m3di render`: its words, and where it must be seen: in the pool, or in the plan of the dataset."""

    words: tuple[object, ...]
    in_pool: Callable[[FakeRenderPool], bool] | None = None
    in_plan: Callable[[data.Plan], bool] | None = None


def limits_of(pool: FakeRenderPool) -> Any:
    return pool.limits


SPEC = Path(KEPT.name) / "of-roads.yaml"
SPEC.write_text("extends: m3di-independent\nname: of-roads\nsplits: {more: 4}\n")
OPTIONS = {
    "spec": Option(("--spec", SPEC), in_plan=lambda plan: plan.spec["name"] == "of-roads"),
    "n_train": Option(("--n", 6), in_plan=lambda plan: plan.n_samples["train"] == 6),
    "n_val": Option(("--n-val", 3), in_plan=lambda plan: plan.n_samples["val"] == 3),
    "n_test": Option(("--n-test", 2), in_plan=lambda plan: plan.n_samples["test"] == 2),
    "n_of": Option(("--n-of", "more=2"), in_plan=lambda plan: plan.n_samples["more"] == 2),
    "seed": Option(("--seed", 7), in_plan=lambda plan: plan.seed == 7),
    "shard_size": Option(("--shard-size", 2), in_plan=lambda plan: plan.shard_size == 2),
    "interventions": Option(
        ("--do", "object_xpos=right"), in_plan=lambda plan: "object_xpos" in json.dumps(plan.spec["interventions"])
    ),
    "size_px": Option(("--size", 40), lambda pool: pool.settings.size_px == 40),
    "quality": Option(("--quality", "draft"), lambda pool: pool.settings.quality == QUALITIES["draft"]),
    "gpu": Option(("--gpu",), lambda pool: pool.settings.gpu, lambda plan: plan.render["device"] == "gpu"),
    "passes": Option(
        ("--passes", "mask"),
        lambda pool: pool.settings.passes == ("mask",),
        lambda plan: "image.mask" in plan.extensions,
    ),
    "n_workers": Option(("--workers", 3), lambda pool: pool.n_workers == 3),
    "gpu_devices": Option(("--gpu-devices", "1"), lambda pool: pool.settings.gpu_devices == (1,)),
    "gpu_backend": Option(("--gpu-backend", "cuda"), lambda pool: pool.settings.gpu_backend == "CUDA"),
    "worker_memory_gb": Option(("--worker-memory", 2.5), lambda pool: limits_of(pool).memory_bytes == 2_500_000_000),
    "image_timeout_s": Option(("--image-timeout", 7), lambda pool: limits_of(pool).image_timeout_s == 7.0),
}
WHERE_AND_WHO = {"out", "shards", "ray", "staging", "is_dry"}
"""Options that choose the road."""
TELLING = {"yes", "as_json", "quiet", "verbose"}
"""Options about what is asked and printed."""


def words_of(*left_out: str) -> list[object]:
    """Every option at once, at a value that is not its default."""
    return [word for name, option in OPTIONS.items() if name not in left_out for word in option.words]


def parameters_of(command: str) -> set[str]:
    of = cli.commands[command]
    params = of.get_params(click.Context(of))
    return {str(each.name) for each in params if isinstance(each, click.Option) and not each.is_eager}


def test_the_table_has_every_option() -> None:
    assert set(inspect.signature(generate.RenderOptions).parameters) == {*OPTIONS, "out"}
    assert {each.name for each in fields(generate.Machines)} | {"out", "is_dry"} == WHERE_AND_WHO
    assert parameters_of("render") == set(OPTIONS) | WHERE_AND_WHO | TELLING


def test_who_renders_a_given_dataset_again_has_the_options_that_change_no_byte() -> None:
    assert set(WORKERS) == set(generate.WorkerOptions.__annotations__)
    assert set(WORKERS) == {name for name, option in OPTIONS.items() if option.in_plan is None} - {
        *("size_px", "quality"),  # in the plan as well
    }
    assert set(WORKERS) <= parameters_of("verify") & parameters_of("evaluate")


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[data.Plan]:
    """The plans that destinations are asked about, as they come."""
    seen: list[data.Plan] = []
    check = data.check_claim

    def note(folder: data.Folder, plan: data.Plan) -> None:
        seen.append(plan)
        check(folder, plan)

    monkeypatch.setattr(data, "check_claim", note)
    return seen


@pytest.fixture
def n_hashed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """How often this process looks for the user's meshes, and hashes them."""
    calls: list[object] = []
    find = generate.user_shapes_of

    def count(spec: Any) -> Any:
        calls.append(spec)
        return find(spec)

    monkeypatch.setattr("m3di.generate.plan.user_shapes_of", count)
    return calls


class FakeRay(ModuleType):
    """Stands in for Ray: tasks run in this process, one after the other."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.asked: list[dict[str, Any]] = []

        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause: Exception) -> None:
                self.cause = cause

        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def init(self, **_: object) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 16.0, "GPU": 1.0}}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 16.0}

    def remote(self, what: Any) -> Any:
        def start(*arguments: Any) -> Any:
            if not inspect.isclass(what):
                return Call(what, *arguments)
            actor = what()
            names = [name for name in vars(what) if not name.startswith("_")]
            return SimpleNamespace(
                **{name: SimpleNamespace(remote=lambda *a, name=name: Call(getattr(actor, name), *a)) for name in names}
            )

        def options(**asked: Any) -> Any:
            self.asked.append(asked)
            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return calls, []

    def get(self, call: Any, timeout: float | None = None) -> Any:
        if call.error is not None:
            raise self.exceptions.RayTaskError(call.error)
        return call.result


class Call:
    """A call that is over: its result, or why it has none."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.result, self.error = None, None
        try:
            self.result = function(*arguments)
        except M3diError as error:
            self.error = error


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


ROADS = {
    "a folder": (),
    "a part": ("--shards", "1/2"),
    "a URL": (),
    "a part at a URL": ("--shards", "2/2"),
    "Ray": ("--ray", "auto"),
    "Ray and a URL": ("--ray", "auto"),
    "a dry run": ("--dry-run",),
    "a dry run of a part": ("--dry-run", "--shards", "1/2"),
    "a dry run for a URL": ("--dry-run",),
}


# The first asks a server of S3, each other one is two of the quick ones at once.
LATER = ("a URL", "a part at a URL", "Ray and a URL", "a dry run of a part", "a dry run for a URL")


@pytest.fixture(params=[*(each for each in ROADS if each not in LATER), *slow(*LATER)])
def road(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, list[object]]]:
    """Its name, where the dataset goes, and the words of the command."""
    out = request.getfixturevalue("bucket") + "/it" if "URL" in request.param else str(tmp_path / "out")
    words: list[object] = ["--out", out, *ROADS[request.param]]
    if "URL" in request.param or "part" in request.param or "Ray" in request.param:
        words += ["--staging", tmp_path / "staging"]
    yield request.param, out, words


def test_every_option_on_every_road(
    road: tuple[str, str, list[object]],
    tmp_path: Path,
    pools: type[FakeRenderPool],
    plans: list[data.Plan],
    n_hashed: list[object],
    fake_ray: FakeRay,
) -> None:
    """All at once: what each of them does must not depend on the others."""
    name, out, words = road
    left_out = ["gpu_devices"] if "Ray" in name else []
    done = m3di("render", *words, *words_of(*left_out))
    assert done.returncode == 0, done.stderr
    assert len(n_hashed) == 1
    for option in [each for each in OPTIONS if each not in left_out]:
        in_pool, in_plan = OPTIONS[option].in_pool, OPTIONS[option].in_plan
        assert in_pool is None or all(map(in_pool, pools.made)), f"{option} falls off on the road of {name}"
        assert in_plan is None or all(map(in_plan, plans)), f"{option} falls off on the road of {name}"
        assert (in_pool or in_plan) is not None
    assert pools.made and plans
    assert len(pools.made) == (7 if "Ray" in name else 1)
    folder = data.open_folder(out)
    there = set(folder.sizes())
    logs = {each for each in there if data.is_log(each)}
    if "dry" in name:
        assert not there
        return
    shards = {f"train-{number:05d}.tar" for number in range(3)} | {"val-00000.tar", "val-00001.tar", "test-00000.tar"}
    shards.add("more-00000.tar")
    wanted = {"1/2": sorted(shards, key=_order)[0::2], "2/2": sorted(shards, key=_order)[1::2]}
    part = str(words[words.index("--shards") + 1]) if "--shards" in words else ""
    assert {each for each in there if each.endswith(".tar")} == set(wanted.get(part, shards))
    assert (data.MANIFEST in there) is not bool(part)
    assert not list(tmp_path.glob("staging/*"))
    assert {re.sub("[0-9a-f]{8}", "ID", each) for each in logs} == {
        f"render.part-{part.replace('/', '-of-')}.ID.log.jsonl" if part else
        "render.ID.log.jsonl" if "URL" in name else data.LOG
    }  # fmt: skip
    lines = [json.loads(line) for line in folder.read(logs.pop()).splitlines()]
    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("start", "finish")
    assert events.count("shard") == len(wanted.get(part, shards))
    assert events.count("image") == sum(pool.n_rendered for pool in pools.made)
    assert all(("task" in line) == ("Ray" in name) for line in lines if line["event"] == "image")


def _order(shard: str) -> tuple[int, str]:
    return ("train", "val", "test", "more").index(shard.partition("-")[0]), shard


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ray", "auto", "--gpu", "--gpu-devices", "1"), "--gpu-devices means nothing on a Ray cluster"),
        (("--ray", "auto", "--shards", "1/2"), "--shards and --ray exclude each other"),
        (("--ray", "auto", "--dry-run"), "--dry-run measures this machine"),
        (("--staging", "x"), "--staging is of no use here"),
        (("--staging", "x", "--dry-run"), "--staging is of no use here"),
        (("--gpu-devices", "1"), "rendering is on the CPU"),
        (("--gpu-backend", "cuda", "--dry-run"), "rendering is on the CPU"),
    ],
)
def test_options_that_make_no_sense_on_a_road_are_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, pools: type[FakeRenderPool]
) -> None:
    failed(m3di("render", "--n", 2, "--out", tmp_path / "out", *words), 2, message)
    assert not list(tmp_path.iterdir())
    assert not pools.made


WORKER_WORDS = [word for name in WORKERS for word in OPTIONS[name].words]


@pytest.fixture
def of_a_gpu(tmp_path: Path, pools: type[FakeRenderPool]) -> Path:
    """A dataset that was rendered with every option that changes bytes."""
    done = m3di("render", "--out", tmp_path / "it", *words_of(*WORKERS))
    assert done.returncode == 0, done.stderr
    pools.made.clear()
    return tmp_path / "it"


def heeded(pools: type[FakeRenderPool]) -> None:
    """Workers as they were asked for, images as the dataset has them."""
    (pool,) = pools.made
    for name, option in OPTIONS.items():
        assert option.in_pool is None or option.in_pool(pool), f"{name} falls off"


@pytest.mark.slow
def test_every_option_in_a_repair(of_a_gpu: Path, pools: type[FakeRenderPool]) -> None:
    whole = bytes_of(of_a_gpu)
    (of_a_gpu / "train-00001.tar").unlink()
    done = m3di("verify", of_a_gpu, "--repair", *WORKER_WORDS)
    assert done.returncode == 0, done.stderr
    heeded(pools)
    assert bytes_of(of_a_gpu) == whole
    events = [json.loads(line)["event"] for line in (of_a_gpu / data.LOG).read_text().splitlines()]
    assert events[events.index("finish") + 1 :] == ["start", "image", "image", "shard", "finish"]


@pytest.mark.slow
def test_every_option_of_a_twin(of_a_gpu: Path, pools: type[FakeRenderPool], plans: list[data.Plan]) -> None:
    twin, _ = render_twin(
        of_a_gpu, permuted=True,
        n_workers=3, gpu_devices=(1,), gpu_backend="cuda", worker_memory_gb=2.5, image_timeout_s=7.0,
    )  # fmt: skip
    heeded(pools)
    for name in ("n_val", "n_test", "seed", "gpu", "passes", "interventions"):
        in_plan = OPTIONS[name].in_plan
        assert in_plan is not None
        assert all(map(in_plan, plans)), f"{name} falls off"
    data.read_manifest(twin)


@pytest.mark.slow
def test_a_twin_that_was_rendered_without_passes_is_taken(
    of_a_gpu: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twins had none before."""
    with monkeypatch.context() as patch:
        patch.setattr("m3di.generate.options.passes_of", lambda plan: ())
        before, _ = render_twin(of_a_gpu, permuted=True)
    assert not any("mask" in name for name in data.read_manifest(before).extensions)
    n_pools = len(pools.made)
    assert render_twin(of_a_gpu, permuted=True)[0] == before
    assert len(pools.made) == n_pools


def test_a_gpu_is_not_chosen_for_a_dataset_of_the_cpu(tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    root = write_fake_dataset(tmp_path / "it")
    (root / "val-00000.tar").unlink()
    message = r"was rendered on the CPU(?s:.)*--gpu-devices(?s:.)*leave it out"
    with pytest.raises(UsageError, match=message):
        repair(root, gpu_devices=(0,))
    with pytest.raises(UsageError, match=message):
        render_twin(root, permuted=True, gpu_devices=(0,))
    with pytest.raises(UsageError, match=r"--image-timeout is too small"):
        repair(root, image_timeout_s=0.0)
    assert not pools.made


@pytest.mark.parametrize("name", WORKERS)
def test_options_about_rendering_where_nothing_is_rendered(name: str, fake_dataset: Path, tmp_path: Path) -> None:
    words = OPTIONS[name].words
    failed(m3di("verify", fake_dataset, *words), 2, "nothing is rendered here", "add --repair", str(words[0]))
    (tmp_path / "run.npz").touch()
    done = m3di("evaluate", tmp_path / "run.npz", *words)
    failed(done, 2, "nothing is rendered here", "add --do or --permute-content", str(words[0]))


@pytest.mark.slow
def test_a_part_that_is_continued_goes_on_with_its_log(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = fake_options(tmp_path / "out")
    machines = generate.Machines(shards="1/3", staging=tmp_path / "staging")
    with monkeypatch.context() as patch:
        patch.setattr(pools, "bad", "train 000000003")
        with pytest.raises(M3diError, match="1 image could not be rendered"):
            generate.render(options, machines=machines)
    (first,) = (tmp_path / "out").glob("render*")
    assert b'"stop"' in first.read_bytes()
    assert generate.render(options, machines=machines) is None
    other = generate.Machines(shards="1/3", staging=tmp_path / "another machine")
    assert generate.render(options, machines=other) is None
    logs = {path.name: path.read_text() for path in (tmp_path / "out").glob("render*")}
    events = [json.loads(line)["event"] for line in logs.pop(first.name).splitlines()]
    assert [event for event in events if event in ("start", "stop", "finish")] == ["start", "stop", "start", "finish"]
    assert [text.count('"start"') for text in logs.values()] == [1]  # nobody writes into the log of another machine
    assert pools.made[-1].n_rendered == 0
    for number in (2, 3):
        machines = generate.Machines(shards=f"{number}/3", staging=tmp_path / "staging")
        generate.render(options, machines=machines)
    generate.finalize(data.open_folder(options.out))
    data.verify(tmp_path / "out")


@pytest.mark.slow
def test_parts_that_start_at_the_same_time_are_no_foreign_files(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes while Blender starts for the first: all that it finds is a lock."""
    options, names = fake_options(tmp_path / "out"), iter(["2/3"])

    def second(pool: FakeRenderPool) -> None:
        for shards in names:
            machines = generate.Machines(shards=shards, staging=tmp_path / "staging")
            assert generate.render(options, machines=machines) is None

    monkeypatch.setattr(FakeRenderPool, "check", second)
    generate.render(options, machines=generate.Machines(shards="1/3", staging=tmp_path / "staging"))
    assert len(list((tmp_path / "out").glob("*.tar"))) == 4


@pytest.mark.slow
def test_failures_on_a_cluster_are_listed_and_logged(
    tmp_path: Path, pools: type[FakeRenderPool], fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = fake_options(tmp_path / "out", n_workers=None)
    machines = generate.Machines(ray="auto", staging=tmp_path / "staging")
    seen: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(pools, "bad", "train 000000009")
        with pytest.raises(M3diError, match=r"train-00001\.tar: 1 image could not be rendered(?s:.)*it is bad"):
            generate.render(options, machines=machines)
    log = [json.loads(line) for line in (tmp_path / "out" / data.LOG).read_text().splitlines()]
    assert [line["task"] for line in log if line["event"] == "failed"] == ["train-00001.tar"] * 2  # image, then task
    assert log[-1]["event"] == "stop"
    assert generate.render(options, lambda done, total: seen.append(done), machines=machines)
    assert (seen[0], seen[-1]) == (20, 28)
    assert pools.made[-1].n_rendered == 1
    assert [asked["num_cpus"] for asked in fake_ray.asked] == [0, 1, 0, 1]
    with (
        data.locked(tmp_path / "out"),
        pytest.raises(M3diError, match="another process is rendering into this folder"),
    ):
        (tmp_path / "out" / data.MANIFEST).unlink()
        generate.render(options, machines=machines)
