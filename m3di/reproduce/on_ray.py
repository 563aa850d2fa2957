"""Members as tasks of a Ray cluster, whose machines must all see OUT by the same path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from m3di.reproduce.ledger import Reproduction, reopen
from m3di.reproduce.member_worker import do_member
from m3di.reproduce.members import Member, Resources
from m3di.reproduce.side_by_side import Event, OnEvent
from m3di.system.member_failures import check_none_failed
from m3di.system.ray_cluster import connected


def run_on_ray(reproduction: Reproduction, members: Sequence[Member], address: str, on_event: OnEvent) -> None:
    """Do members as tasks; one begins when those that it needs are done. Progress is told member by member.

    Args:
        reproduction: The folder, and what is made in it.
        members: What is to be done; each after those that it needs.
        address: Of the cluster; "local" starts one in this machine.
        on_event: Told what happens.

    Raises:
        M3diError: Ray is not installed, no cluster answers, or some members failed; raised after all others have run.
    """
    failures: dict[str, str] = {}
    with connected(address):
        import ray

        nodes = [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
        resources = _resources(nodes)
        task = ray.remote(_do).options(num_gpus=resources["GPU"], num_cpus=resources["CPU"])
        running: dict[str, Any] = {}
        for member in members:
            before = [running[key] for key in member.needs if key in running]
            running[member.key] = task.remote(str(reproduction.out.resolve()), member.key, resources["CPU"], *before)
            on_event(Event("begin", member.key, 0, member.n_units))
        left = {reference: key for key, reference in running.items()}
        while left:
            done, _ = ray.wait(list(left), num_returns=1)
            for reference in done:
                key, ended = left.pop(reference), ray.get(reference)
                on_event(Event(ended["event"], key, why=ended.get("why", "")))
                if ended["event"] != "finished":
                    failures[key] = ended["why"]
    check_none_failed(reproduction.out, len(members), failures)


def _resources(nodes: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """A GPU and its share of a node's cores where there are GPUs, else a core."""
    fit = [node for node in nodes if node.get("GPU", 0) >= 1]
    if not fit:
        return {"GPU": 0, "CPU": 1}
    return {"GPU": 1, "CPU": max(1, min(int(node.get("CPU", 1) // node["GPU"]) for node in fit))}


def _do(out: str, key: str, n_cores: int, *before: Mapping[str, str]) -> dict[str, str]:
    """Do a member; `before` is how those ended that it needs."""
    if any(each["event"] != "finished" for each in before):
        return {"event": "skipped", "why": "it needs a member that failed"}
    reproduction = reopen(Path(out))
    return do_member(reproduction, key, Resources(n_cores, reproduction.gpu), lambda done, total: None)
