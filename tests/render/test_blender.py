"""Real renders. Everything that imports bpy runs in worker processes, as it does for users."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pebble
import pytest
from PIL import Image

from m3di.errors import M3diError
from m3di.latents import Spec, load_spec
from m3di.render import (
    QUALITIES,
    ImportOptions,
    RenderJob,
    RenderPool,
    RenderSettings,
    SceneValues,
    UserShape,
    import_shape,
    scene_values,
)
from m3di.render import pool as pool_module
from tests.conftest import REFERENCE

pytestmark = pytest.mark.slow

SHAPES = load_spec("m3di").factors["object_shape"].names
VALUES = SceneValues(
    shape="teapot",
    material="rubber",
    location_m=(0.0, 0.0, 0.0),
    rotation_rad=(0.0, 0.0, 0.0),
    object_rgb=(0.1, 0.6, 0.1),
    spotlight_rgb=(1.0, 1.0, 1.0),
    ground_rgb=(0.5, 0.4, 0.3),
    spotlight_angle_rad=0.3,
    seed=1,
)
SMALL = RenderSettings(48, QUALITIES["draft"], n_threads=1, passes=("mask", "depth", "normal"))


def in_worker(function: Callable[..., Any], *args: Any) -> Any:
    """Run a function of this module in a process of its own, the way the pool does."""
    import multiprocessing

    with pebble.ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        return pool.schedule(function, args=args, timeout=300).result()


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(float)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((one - other) ** 2))


@pytest.fixture(scope="module")
def pool() -> Any:
    with RenderPool(SMALL, n_workers=2) as pool:
        yield pool


def test_all_seven_shapes_render_and_differ(pool: RenderPool) -> None:
    jobs = [RenderJob(shape, replace(VALUES, shape=shape, location_m=(3.0, 0.0, 0.0))) for shape in SHAPES]
    images = [pixels_of(image.png) for image in pool.render(jobs)]
    assert all(image.shape == (48, 48, 3) for image in images)
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            differs = np.abs(one - other).max(axis=-1) > 20
            assert differs.mean() > 0.01  # the object covers about 5 % of the picture


def test_the_same_sample_gives_the_same_bytes_in_any_order_and_worker(pool: RenderPool) -> None:
    jobs = [
        RenderJob(str(i), replace(VALUES, shape=SHAPES[i % 3], location_m=(0.0, 3.0 * (i % 2), 0.0), seed=i))
        for i in range(6)
    ]
    forward = list(pool.render(jobs))
    backward = list(pool.render(jobs[::-1]))
    assert forward == backward[::-1]
    assert len({image.png for image in forward}) == 6


def test_colour_and_material_arrive(pool: RenderPool) -> None:
    base, red, metal = (
        pixels_of(image.png)
        for image in pool.render(
            [
                RenderJob("base", VALUES),
                RenderJob("red", replace(VALUES, object_rgb=(0.9, 0.02, 0.02))),
                RenderJob("metal", replace(VALUES, material="metal")),
            ]
        )
    )
    middle = (slice(20, 26), slice(20, 26))
    assert base[middle][..., 1].mean() > 1.5 * base[middle][..., 0].mean()
    assert red[middle][..., 0].mean() > 1.5 * red[middle][..., 1].mean()
    assert np.abs(metal - base)[middle].mean() > 5


def test_light_passes_add_up_to_the_joint_render() -> None:
    """Light transport is direct only: three lights alone, summed, are the three together."""
    settings = RenderSettings(48, replace(QUALITIES["standard"], noise_threshold=0.0, max_samples=256), n_threads=2)
    joint = replace(settings, quality=replace(settings.quality, light_passes=False, max_samples=1024))
    with RenderPool(settings, 1) as apart, RenderPool(joint, 1) as together:
        (one,), (other,) = (list(pool.render([RenderJob("x", VALUES)])) for pool in (apart, together))
    assert psnr_db(pixels_of(one.png), pixels_of(other.png)) > 45


def _projected_centre(values: SceneValues, size_px: int) -> tuple[float, float]:
    """Where the camera maths of the published scene puts the object's centre: column and row in pixels."""
    position = np.array(values.location_m)
    camera = np.array([8.0, 0.0, 8.0])
    forward = -camera / np.linalg.norm(camera)
    right = np.array([0.0, 1.0, 0.0])
    up = np.cross(right, forward)
    ray = position - camera
    scale = size_px * 35.0 / 50.0 / (ray @ forward)
    return size_px / 2 + scale * (ray @ right), size_px / 2 - scale * (ray @ up)


def _sphere_masks(values: list[SceneValues]) -> list[np.ndarray]:
    """In a worker: render with a small sphere for the object, lit by its own emission alone."""
    import bpy

    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(96, QUALITIES["draft"], 1)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.2)
    mesh = bpy.context.object.data
    bpy.data.objects.remove(bpy.context.object)
    scene.add_mesh("sphere", mesh)
    return [scene.render_linear(each) for each in values]


def test_the_object_lies_where_the_camera_maths_puts_it() -> None:
    places = [(float(x), float(y), 0.0) for x in (-3, 0, 3) for y in (-3, 0, 3)]
    values = [
        replace(VALUES, shape="sphere", location_m=place, object_rgb=(0.0, 1.0, 0.0), ground_rgb=(1.0, 0.0, 0.0))
        for place in places
    ]
    for each, image in zip(values, in_worker(_sphere_masks, values), strict=True):
        mask = image[..., 1] > image[..., 0]  # green on red
        rows, columns = np.nonzero(mask)
        column, row = _projected_centre(each, 96)
        assert columns.mean() + 0.5 == pytest.approx(column, abs=0.7)
        assert rows.mean() + 0.5 == pytest.approx(row, abs=0.7)


def _teapot_renders(rows: list[dict[str, Any]], spec: Spec, teapot: UserShape) -> list[np.ndarray]:
    """In a worker: the published teapot mesh in our scene."""
    from m3di.render.blender.open_scene import BlenderScene
    from m3di.render.image import linear_to_srgb

    scene = BlenderScene(224, QUALITIES["standard"], 2, user_shapes=(teapot,))
    images = []
    for row in rows:
        view = spec.views["image"].model_copy(update={"material": row["material"]})
        raw = {name: row[name] for name in view.factors if name in row}
        images.append(linear_to_srgb(scene.render_linear(scene_values(spec, view, {**raw, "object_shape": 0}))))
    return images


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published reference is not on this machine")
def test_look_is_that_of_the_published_scene(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mesh imported as a user would."""
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path))
    mesh = REFERENCE / "meshes" / "ShapeTeapot.blend"
    teapot = import_shape(mesh, "teapot", ImportOptions(as_is=True))
    rows = json.loads((REFERENCE / "renders" / "renders.json").read_text())
    rows = [rows[0], rows[6]]  # rubber, metal
    for row, image in zip(rows, in_worker(_teapot_renders, rows, spec, teapot), strict=True):
        expected = np.asarray(Image.open(REFERENCE / "renders" / row["file"]).convert("RGB")).astype(float)
        assert psnr_db(image.astype(float), expected) > 45, row["file"]


def _render_teapot(teapot: UserShape) -> None:
    from m3di.render.blender.open_scene import BlenderScene

    BlenderScene(16, QUALITIES["draft"], 1, user_shapes=(teapot,)).render_linear(VALUES)


def test_a_mesh_that_changes_under_way_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path))
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    planned = replace(import_shape(tmp_path / "a.obj", "teapot"), sha256="0" * 64)
    with pytest.raises(M3diError, match=r"'teapot' has changed while(?s:.)*SHA-256 0000"):
        in_worker(_render_teapot, planned)


def _die_once(settings: RenderSettings, values: SceneValues) -> bytes:
    """In a worker: a crash, the first time only."""
    import os

    flag = Path(values.material)
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), 9)
    return b"survived"


def test_a_worker_that_dies_costs_one_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "render_image", _die_once)
    with RenderPool(SMALL, 1) as pool:
        assert list(pool.render([RenderJob("x", replace(VALUES, material=str(tmp_path / "flag")))])) == [b"survived"]


def _always_die(settings: RenderSettings, values: SceneValues) -> bytes:
    import os

    os.kill(os.getpid(), 9)
    return b""


def test_a_worker_that_always_dies_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "render_image", _always_die)
    with (
        pytest.raises(M3diError, match=r"could not be rendered in 3 tries(?s:.)*train 000000007(?s:.)*died: signal 9"),
        RenderPool(SMALL, 1) as pool,
    ):
        list(pool.render([RenderJob("train 000000007, view image", VALUES)]))


def _report_an_error(settings: RenderSettings) -> None:
    """In a worker: Blender prints an error and returns normally."""
    import os

    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(16, QUALITIES["draft"], 1)
    original = scene.apply

    def apply(values: SceneValues) -> None:
        original(values)
        os.write(1, b"Error: something is missing\n")

    scene.apply = apply  # type: ignore[method-assign]
    scene.render_linear(VALUES)


def test_an_error_that_blender_only_prints_fails_the_image() -> None:
    with pytest.raises(M3diError, match=r"did not render the image(?s:.)*Error: something is missing"):
        in_worker(_report_an_error, SMALL)


def _black(settings: RenderSettings) -> None:
    import bpy

    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(16, QUALITIES["draft"], 1)
    for light in bpy.data.lights:
        light.energy = 0.0
    scene.render_linear(VALUES)


def test_a_black_image_fails() -> None:
    with pytest.raises(M3diError, match=r"did not render the image(?s:.)*a black image"):
        in_worker(_black, SMALL)


def test_gpu_without_a_gpu_is_an_error_not_a_fall_back() -> None:
    with (
        RenderPool(replace(SMALL, gpu=True), 1) as pool,
        pytest.raises(M3diError, match=r"no GPU(?s:.)*OPTIX, CUDA, HIP, ONEAPI, METAL"),
    ):
        pool.check()
