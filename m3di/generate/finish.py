"""The end of a run: tables, documents and the manifest of a folder whose shards are all there."""

from __future__ import annotations

from pathlib import Path

from m3di import data
from m3di.generate.plan import LATENTS, shards_of
from m3di.latents import Spec, captions, sample
from m3di.render import ANNOTATIONS


def finish(out: Path, spec: Spec, plan: data.Plan) -> data.Manifest:
    """Write tables, documents and, last of all, the manifest of a folder whose shards are all there."""
    splits = {}
    for split, n in plan.n_samples.items():
        if n == 0:
            continue
        names = [shard.name for shard in shards_of(plan) if shard.split == split]
        shards = [(name, list(data.read_shard(out / name))) for name in names]
        samples = sample(spec, split, n, seed=plan.seed)
        table = out / f"{split}.parquet"
        texts = {name: captions(samples, name) for name in spec.views_of("text")}
        # From the shards, not from memory: what an interrupted run rendered before is known from there only.
        seen = data.read_annotations(out, shards, plan.extensions[LATENTS], list(spec.views_of("image")), ANNOTATIONS)
        data.write_table(table, samples, texts, shards, seen)
        splits[split] = data.SplitEntry(
            n_samples=n,
            shards=tuple(data.file_entry(out / name, len(found)) for name, found in shards),
            table=data.file_entry(table, n),
        )
    manifest = data.seal(out, plan, splits)
    data.remove_leftovers(out)
    return manifest
