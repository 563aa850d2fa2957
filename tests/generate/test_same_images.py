"""New images of a dataset match those that it has: on every road, with the same versions, meshes and quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from m3di import data, generate
from m3di.errors import M3diError, UsageError
from m3di.generate.ray_tasks import check_node
from m3di.generate.repair import repair
from m3di.generate.twins import render_twin
from m3di.render import QUALITIES, Quality
from m3di.render.library.user_shapes import store_user_meshes
from tests.conftest import FakeRenderPool, fake_options, slow, write_fake_dataset
from tests.generate.test_repair import POT, mesh

MINE = Quality(4, 0, 0.0, light_passes=True, denoise=False)


def repaired(root: Path) -> None:
    (root / "val-00000.tar").unlink(missing_ok=True)
    repair(root)


def twin(root: Path) -> Path:
    return render_twin(root, interventions=("object_xpos=right",), n_workers=1)[0]


ROADS = [repaired, twin]


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Quality | None], None]:
    """Registers the quality `mine` as another program would, or takes it away."""

    def register(quality: Quality | None) -> None:
        if quality is None:
            monkeypatch.delitem(QUALITIES._known, "mine")
        else:
            monkeypatch.setitem(QUALITIES._known, "mine", quality)

    register(MINE)
    return register


@pytest.mark.parametrize("road", ROADS)
def test_other_versions_are_refused(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch, road: Callable[[Path], object]
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    monkeypatch.setattr("m3di.generate.plan.version", lambda _: "9.9")
    with pytest.raises(M3diError, match=r"other versions rendered this dataset(?s:.)*got: +bpy 9\.9\n.*bpy 5"):
        road(root)
    assert not pools.made


@pytest.mark.parametrize("road", ROADS)
def test_without_blender_the_message_is_that_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: Callable[[Path], object]
) -> None:
    root = write_fake_dataset(tmp_path / "it")

    def missing() -> None:
        raise M3diError("rendering needs Blender's Python module")

    monkeypatch.setattr("m3di.generate.plan.check_blender", missing)
    with pytest.raises(M3diError, match="rendering needs Blender's Python module"):
        road(root)


def test_a_twin_shows_the_meshes_of_the_dataset(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    root = write_fake_dataset(tmp_path / "it")
    store_user_meshes({"cow": mesh(3)})  # that cow is not the one of the images
    assert data.read_manifest(twin(root)).shapes == data.read_manifest(root).shapes == {}
    assert [pool.settings.user_shapes for pool in pools.made] == [()]


@pytest.mark.slow
def test_a_twin_is_refused_where_a_mesh_is_another(
    tmp_path: Path, pools: type[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "pots.yaml").write_text(POT)
    store_user_meshes({"pot": mesh(1)})
    root = write_fake_dataset(tmp_path / "it", spec=str(tmp_path / "pots.yaml"))
    store_user_meshes({"pot": mesh(2)})
    with pytest.raises(M3diError, match=r"the mesh 'pot' of this machine is not the one"):
        twin(root)
    assert not pools.made
    store_user_meshes({"pot": mesh(1), "cow": mesh(3)})
    assert data.read_manifest(twin(root)).shapes == data.read_manifest(root).shapes
    assert [[shape.name for shape in pool.settings.user_shapes] for pool in pools.made] == [["pot"]]


def test_only_a_quality_of_your_own_is_noted_by_its_values(
    tmp_path: Path, mine: Callable[[Quality | None], None]
) -> None:
    names = ["size_px", "quality", "device", "m3di", "bpy"]
    for quality in ("paper", "standard", "fixed", "draft"):
        own = generate.make_plan(fake_options(tmp_path).load_spec(), fake_options(tmp_path, quality=quality))
        assert list(own.render) == names
    options = fake_options(tmp_path, quality="mine")
    before = generate.make_plan(options.load_spec(), options)
    assert list(before.render) == [*names, "quality_sha256"]
    mine(replace(MINE, max_samples=5))
    after = generate.make_plan(options.load_spec(), options)
    assert [each.partition(":")[0] for each in before.differences(after)] == ["render.quality_sha256"]


@pytest.fixture
def of_mine(tmp_path: Path, mine: Callable[[Quality | None], None]) -> Iterator[Path]:
    yield write_fake_dataset(tmp_path / "it", again=True, quality="mine")


@pytest.mark.parametrize("road", ROADS)
def test_a_quality_of_other_values_is_refused(
    of_mine: Path, pools: type[FakeRenderPool], mine: Callable[[Quality | None], None], road: Callable[[Path], object]
) -> None:
    road(of_mine)
    n_pools = len(pools.made)
    assert n_pools == 1
    mine(replace(MINE, max_samples=5))
    message = r"the quality 'mine' of this machine is not the one(?s:.)*got: +SHA-256 [0-9a-f]{64}\n(?s:.)*as it was"
    with pytest.raises(M3diError, match=message):
        road(of_mine)
    mine(None)
    with pytest.raises(UsageError, match=r"unknown quality(?s:.)*'mine'"):
        road(of_mine)
    assert len(pools.made) == n_pools


@pytest.mark.usefixtures("pools")
def test_a_run_does_not_go_on_with_a_quality_of_other_values(
    of_mine: Path, tmp_path: Path, mine: Callable[[Quality | None], None]
) -> None:
    mine(replace(MINE, max_samples=5))
    with pytest.raises(M3diError, match=r"a different dataset(?s:.)*render\.quality_sha256"):
        generate.render(fake_options(of_mine, quality="mine"))
    other = write_fake_dataset(tmp_path / "other", again=True, quality="mine", seed=1)
    with pytest.raises(M3diError, match=r"differ in more than their samples(?s:.)*render\.quality_sha256"):
        data.merge([of_mine, other], tmp_path / "both")


@pytest.mark.parametrize(("changed", "got"), [(replace(MINE, max_samples=5), "[0-9a-f]{64}"), *slow((None, "not reg"))])
def test_a_node_with_another_quality(
    tmp_path: Path, mine: Callable[[Quality | None], None], changed: Quality | None, got: str
) -> None:
    options = fake_options(tmp_path, quality="mine")
    spec = options.load_spec()
    plan = generate.make_plan(spec, options)
    check_node(spec, (), plan)
    mine(changed)
    with pytest.raises(M3diError, match=rf"would render something else(?s:.)*got: +quality_sha256 {got}(?s:.)*on all"):
        check_node(spec, (), plan)


def test_a_node_with_a_mesh_that_the_plan_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    options = fake_options(tmp_path)
    spec = options.load_spec()
    plan = generate.make_plan(spec, options)
    store_user_meshes({"cow": mesh(3)})
    with pytest.raises(M3diError, match=r"got: +cow [0-9a-f]{64}\n +expected: cow none"):
        check_node(spec, generate.plan.user_shapes_of(spec), plan)
