"""The same with real renders: two processes that share a bucket, and a Ray cluster that loses a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from m3di import data
from tests.generate.test_many import bytes_of, remote_bytes

M3DI = [sys.executable, "-c", "from m3di.cli.main import main; main()"]
OPTIONS = ["--n", "9", "--n-val", "1", "--n-test", "1", "--size", "48", "--quality", "draft", "--shard-size", "4"]

ON_RAY = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import psutil
from ray.cluster_utils import Cluster
from m3di import generate
from m3di.errors import M3diError

def kill_one(done, total):
    busy = [each for each in psutil.process_iter(["name"]) if each.info["name"].startswith("ray::render_sh")]
    if len(busy) == 2 and not killed:
        killed.append(busy[0].pid)
        os.kill(busy[0].pid, signal.SIGKILL)

if __name__ == "__main__":
    out, staging = sys.argv[1:]
    killed = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    options = generate.RenderOptions(
        out=Path(out), n_train=8, n_val=0, n_test=0, size_px=48, quality="draft", shard_size=4
    )
    machines = generate.Machines(ray=cluster.address, staging=Path(staging))
    try:
        generate.render(replace(options, gpu=True), machines=machines)
    except M3diError as error:
        print(error)
    print(os.listdir(out) if os.path.exists(out) else "nothing was written")
    manifest = generate.render(options, kill_one, machines=machines)
    print("killed", len(killed), "of two workers,", sum(manifest.n_samples.values()), "samples")
    cluster.shutdown()
"""


@pytest.mark.slow
def test_two_processes_render_two_parts_into_one_bucket(bucket: str, rendered_dataset: Path, tmp_path: Path) -> None:
    root = f"{bucket}/parts"
    command = [*M3DI, "render", "--out", root, "--workers", "1", *OPTIONS]
    command += ["--staging", str(tmp_path)]
    started = [
        subprocess.Popen([*command, "--shards", part], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for part in ("2/2", "1/2")
    ]
    for each in started:
        output, errors = each.communicate()
        assert each.returncode == 0, errors
        assert f"m3di finalize {root}" in output
    assert data.MANIFEST not in data.open_folder(root).sizes()
    done = subprocess.run([*M3DI, "finalize", root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train 9, val 1, test 1 samples" in done.stdout
    folder = data.open_folder(root)
    assert remote_bytes(folder) == bytes_of(rendered_dataset)
    logs = sorted(filter(data.is_log, folder.sizes()))
    assert [name.rsplit(".", 3)[0] for name in logs] == ["render.part-1-of-2", "render.part-2-of-2"]
    assert all(folder.read(name).count(b'"image"') for name in logs)


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_worker(rendered_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    script = tmp_path / "on_ray.py"
    script.write_text(ON_RAY)
    out = tmp_path / "out"
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), str(out), str(tmp_path / "staging")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "no node of the Ray cluster has what a task needs" in done.stdout
    assert "nodes with 2 cores and 0 GPUs" in done.stdout
    assert "nothing was written" in done.stdout
    assert "killed 1 of two workers, 8 samples" in done.stdout
    data.verify(out)
    ours, whole = bytes_of(out), bytes_of(rendered_dataset)
    names = ["train-00000.tar", "train-00001.tar"]
    assert [name for name in sorted(ours) if name.endswith(".tar")] == names
    assert all(ours[name] == whole[name] for name in names)


@pytest.mark.slow
def test_no_ray_cluster(tmp_path: Path) -> None:
    """Not `auto`: that finds whatever cluster somebody runs on this machine."""
    pytest.importorskip("ray")
    command = [*M3DI, "render", "--out", str(tmp_path / "out"), "--ray", "nowhere", *OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no Ray cluster to be reached" in done.stderr
    assert "ray start --head" in done.stderr
    assert not (tmp_path / "out").exists()
