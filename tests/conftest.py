"""Shared fixtures: a small dataset without Blender for quick tests, and a small one with real renders."""

from __future__ import annotations

import atexit
import gc
import hashlib
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pytest

import m3di
from m3di import data, generate
from m3di.latents import Spec, load_spec, spec_names
from m3di.render import Gpu, Outcome, PoolEvent, RenderedImage, RenderJob, RenderSettings
from m3di.render.annotation import annotate
from m3di.render.image import encode_png
from m3di.system import plugins
from m3di.system.registry import Registry

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"


MAY_BE_SKIPPED = (
    "could not import 'transformers'",  # 140 MB for one test: no extra has it
    "the published reference is not on this machine",
    "frames and pairs exclude each other",
    "no file system can be mounted here",
    "no Chromium to drive here",
)
"""Why a test may be skipped where everything is installed; all else of the platform is that of CI."""


NEED_RENDER = ("render", "cli/test_shapes.py", "report/test_lettering.py", "test_faults.py")
"""What `--without-blender` leaves out, as tests marked `blender`: what renders, imports meshes, or wants its fonts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-hidden-skips", action="store_true", help="a skip that MAY_BE_SKIPPED does not name fails")
    parser.addoption("--without-blender", action="store_true", help="leave out the tests that need the extra `render`")
    parser.addoption("--installed", action="store_true", help="refuse to test the clone instead of an installed m3di")


def pytest_configure(config: pytest.Config) -> None:
    place = Path(m3di.__file__).parent
    if config.getoption("installed") and place == Path(__file__).parents[1] / "m3di":
        raise pytest.UsageError(f"--installed: these tests would try {place}, not an installed m3di")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    left_out = [Path(__file__).parent / each for each in NEED_RENDER]
    return True if config.getoption("without_blender") and collection_path in left_out else None


@pytest.fixture(autouse=True, scope="session")
def no_blender(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--without-blender`, fake renders are planned as if it were installed."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("without_blender"):
            patch.setattr("m3di.generate.plan.version", lambda name: "5.0.1")
            patch.setattr("m3di.generate.plan.check_blender", lambda: None)
        yield


def hidden_skips(reports: Iterable[Any]) -> list[str]:
    """What was skipped, and why, that should have run."""
    reasons = [
        (each.nodeid, str(each.longrepr[2] if isinstance(each.longrepr, tuple) else each.longrepr)) for each in reports
    ]
    return [f"{node}: {why}" for node, why in reasons if not any(each in why for each in MAY_BE_SKIPPED)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """As `.ci/run` asks for: a test whose package is in the extra `dev` was left out, so the run has failed."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.getoption("no_hidden_skips") or terminal is None or hasattr(session.config, "workerinput"):
        return
    hidden = hidden_skips(terminal.stats.get("skipped", []))
    if hidden:
        terminal.write_line("\nskipped, and should have run:\n" + "\n".join(hidden), red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a GPU run only where they are asked for; those that need Blender not without it."""
    asked = "gpu" in (config.getoption("markexpr") or "")
    marks = [*(() if asked else ("gpu",)), *(("blender",) if config.getoption("without_blender") else ())]
    left_out = [item for item in items if any(map(item.get_closest_marker, marks))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def slow(*cases: object) -> list[Any]:
    """Cases of a parametrised test that only the full run makes; a tuple is one case of several values."""
    return [pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.slow) for each in cases]


# The names of all built-in specs, for a parametrised test: one of them each time, all others take half a minute.
BUILT_IN = [pytest.param("m3di"), *slow(*(name for name in spec_names() if name != "m3di"))]


def pytest_collection_finish() -> None:
    """What all tests share lives to the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


class FakePool:
    """Stands in for the render pool: noise that depends on the job alone."""

    gpus: ClassVar[list[Gpu]] = []

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self.n_rendered = 0

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        for job in jobs:
            seed = int.from_bytes(hashlib.sha256(repr(job).encode()).digest()[:4], "little")
            pixels = np.random.default_rng(seed).integers(0, 256, (self.size_px, self.size_px, 3), dtype=np.uint8)
            self.n_rendered += 1
            annotation = annotate(pixels, pixels[..., 0] > 200, (1.5, seed / 7))
            yield Outcome(job, RenderedImage(encode_png(pixels), annotation, {}))


class FakeRenderPool(FakePool):
    """Takes the place of `RenderPool`, with one worker; images whose name holds `bad` fail."""

    made: ClassVar[list[FakeRenderPool]] = []
    bad: ClassVar[str] = "nothing"
    n_started = 1

    def __init__(
        self, settings: RenderSettings, n_workers: int | None, limits: object = None, watch: Any = None
    ) -> None:
        super().__init__(settings.size_px)
        self.settings, self.n_workers, self.limits = settings, n_workers, limits
        self.watch = watch or (lambda event: None)
        self.made.append(self)

    def __enter__(self) -> FakeRenderPool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        for outcome in super().outcomes(jobs):
            if self.bad in outcome.job.name:
                self.watch(PoolEvent("failed", 0, 1, outcome.job.name, why="it is bad"))
                yield Outcome(outcome.job, None, "it is bad")
            else:
                self.watch(PoolEvent("image", 0, 1, outcome.job.name, 0.5, 1000))
                assert outcome.image
                passes = outcome.image.passes or dict.fromkeys(self.settings.passes, outcome.image.png)
                yield replace(outcome, image=replace(outcome.image, passes=passes))

    def render(self, jobs: Iterable[RenderJob]) -> Iterator[RenderedImage]:
        for outcome in self.outcomes(jobs):
            assert outcome.image
            yield outcome.image


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> type[FakeRenderPool]:
    """No Blender: what every road takes for the pool."""
    monkeypatch.setattr("m3di.generate.workers.RenderPool", FakeRenderPool)
    monkeypatch.setattr(FakeRenderPool, "made", [])
    return FakeRenderPool


def fake_options(out: Path, **options: object) -> generate.RenderOptions:
    """Options of the fake dataset."""
    values: dict[str, object] = {"n_train": 20, "n_val": 4, "n_test": 4, "size_px": 32, "shard_size": 8, "n_workers": 1}
    return generate.RenderOptions(out=out, **{**values, **options})  # type: ignore[arg-type]


_OUTCOMES = FakePool.outcomes
KEPT = TemporaryDirectory(prefix="m3di-tests-")
atexit.register(KEPT.cleanup)


def write_fake_dataset(out: Path, *, again: bool = False, **options: object) -> Path:
    """A whole dataset, written by the real code around a fake renderer.

    The same options give the same bytes, so they are written once and then copied; `again` writes them again. What
    a test has patched, or a spec file that may be another one by now, is not kept.
    """
    if again or "spec" in options or FakePool.outcomes is not _OUTCOMES:
        return _write_fake_dataset(out, options)
    kept = Path(KEPT.name) / hashlib.sha256(repr(sorted(options.items())).encode()).hexdigest()
    if not kept.exists():
        _write_fake_dataset(kept, options)
    return Path(shutil.copytree(kept, out))


def _write_fake_dataset(out: Path, options: Mapping[str, object]) -> Path:
    wanted = fake_options(out, **options)
    spec = wanted.load_spec()
    plan = generate.make_plan(spec, wanted.resolved(spec))
    data.prepare_folder(out, plan)
    generate.render_shards(spec, plan, generate.shards_of(plan), out, FakePool(wanted.size_px))
    generate.finish(data.LocalFolder(out), spec, plan)
    return out


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """No test pulls the plug: those about the order of syncs watch `os.fsync` themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_day() -> Iterator[None]:
    """Documents have a date: two that are compared have the same, at midnight too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1767225600")
        yield


@pytest.fixture(autouse=True, scope="session")
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see no meshes of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M3DI_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        yield


REGISTRIES = (
    ("m3di.data", "LAYOUTS"),
    ("m3di.evaluate", "METRICS"),
    ("m3di.latents", "MECHANISMS"),
    ("m3di.latents.modality", "MODALITIES"),
    ("m3di.learn.losses", "LOSSES"),
    ("m3di.learn.models.registry", "IMAGE_ENCODERS"),
    ("m3di.learn.models.registry", "TEXT_ENCODERS"),
    ("m3di.learn.training.augmentation", "AUGMENTATIONS"),
    ("m3di.learn.training.loggers", "LOGGERS"),
    ("m3di.render.quality", "QUALITIES"),
)


def keep(registry: Registry[Any], patch: pytest.MonkeyPatch) -> None:
    """Forget what is registered from here on once the patch ends."""
    registry.own()  # first all that is m3di's
    for name in ("_known", "_origins", "_loaded"):
        patch.setattr(registry, name, getattr(registry, name).copy())


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers or imports by --import is forgotten after it, of every room that is imported."""
    monkeypatch.setattr(plugins, "_imported", list(plugins._imported))
    for room, name in REGISTRIES:
        if room in sys.modules:
            keep(getattr(sys.modules[room], name), monkeypatch)


def write_package(site: Path, name: str, text: str, entry_points: str) -> None:
    """An installed package of one module, as pip leaves it.

    Args:
        site: The folder of packages.
        name: Of the package and its module.
        text: Of the module.
        entry_points: Text of `entry_points.txt`.
    """
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(text)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def extension_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None) -> Iterator[Path]:
    """The current folder, for modules that register something; what is imported from it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture(scope="session")
def spec() -> Spec:
    return load_spec("m3di")


@pytest.fixture(scope="session")
def fake_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: 20 + 4 + 4 samples of 32 px in shards of 8."""
    return write_fake_dataset(tmp_path_factory.mktemp("fake") / "m3di")


@pytest.fixture(scope="session")
def published_dataset(fake_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: the same in the published layout, with the files that m3di adds."""
    out = tmp_path_factory.mktemp("published") / "m3di"
    data.export(fake_dataset, "upstream", out)
    return out


@pytest.fixture(scope="session")
def rendered_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: 9 + 1 + 1 real renders of 48 px in shards of 4."""
    out = tmp_path_factory.mktemp("rendered") / "m3di"
    generate.render(
        generate.RenderOptions(out=out, n_train=9, n_val=1, n_test=1, size_px=48, quality="draft", shard_size=4)
    )
    return out


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server on this machine that asks for no credentials."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a new, empty bucket; the environment leads s3fs to it."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # one that was made without these variables has no credentials
    files = s3fs.S3FileSystem()
    files.mkdir("m3di-test")
    yield "s3://m3di-test"
    files.rm("m3di-test", recursive=True)
    files.invalidate_cache()


@pytest.fixture
def other_connection(bucket: str) -> Iterator[None]:
    """A test may change what the connection is made of: neither it nor those after it share one."""
    s3fs = pytest.importorskip("s3fs")
    shared = s3fs.S3FileSystem._cache.copy()
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem._cache.clear()
    s3fs.S3FileSystem._cache.update(shared)
