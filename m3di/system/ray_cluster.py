"""Connect to a Ray cluster, for rendering and training."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

from m3di.errors import M3diError


def check_ray() -> None:
    """Check that Ray is installed, without importing it.

    Raises:
        M3diError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise M3diError("--ray needs Ray, which is not installed", where="--ray", next_step="pip install 'm3di[ray]'")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster; tasks that still run at the end of the block are stopped.

    Args:
        address: `HOST:PORT`, `ray://HOST:PORT`, `auto` or `local`.

    Raises:
        M3diError: There is no cluster at this address, or Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics unless the user turned them on
    check_ray()
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise M3diError(
            "there is no Ray cluster to be reached",
            where=f"--ray {address}",
            got=error,
            expected="the address of a cluster: HOST:PORT, ray://HOST:PORT, auto on one of its nodes, or local",
            next_step="ray start --head  on one machine, then  ray start --address HOST:6379  on each of the others",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
