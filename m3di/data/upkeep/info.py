"""Describe a dataset in a few lines."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from m3di.data.format.manifest import Manifest
from m3di.data.load.sources import ShardSource, open_source
from m3di.data.storage.places import open_to_read
from m3di.errors import M3diError, printable
from m3di.latents import Factor, Spec, share_accepted, told, told_given, told_regimes, told_splits


def info(root: str | os.PathLike[str]) -> str:
    """Describe spec, origin, splits, files, views and factors of a dataset, of m3di or in the published layout.

    Raises:
        M3diError: There is none.
    """
    source = open_source(open_to_read(root))
    spec = source.spec
    lines = [f"{spec.name}: {spec.description}".rstrip(": "), ""]
    counts = ", ".join(f"{split} {n:,}" for split, n in source.n_samples.items())
    lines.append(f"samples   {counts}")
    if isinstance(source, ShardSource):
        manifest = source.manifest
        n_bytes = sum(entry.n_bytes for entry in manifest.files)
        made = [f"{manifest.source}, {_seeds(manifest)}"]
        made.append(", ".join(f"{name} {value}" for name, value in _made_with(manifest).items()))
        lines += [
            f"made      {'; '.join(filter(None, [*made, *manifest.devices]))}",
            f"files     {len(manifest.files)}, {n_bytes / 1e6:,.1f} MB; {', '.join(manifest.extensions.values())}",
        ]
    else:
        lines.append("made      the published layout of Multimodal3DIdent")
    lines += [f"regime    {each}" for each in told_regimes(spec.regimes)]
    if spec.given is not None:
        lines.append(f"given     {told_given(spec)}")
    if spec.interventions:
        lines.append(f"do        {'; '.join(told(spec.interventions))}")
    lines += [f"split     {split}: {each}" for split, each in told_splits(spec).items()]
    if spec.plugins:
        lines.append(f"plugins   {', '.join(spec.plugins)}: kept as text, run by nothing but m3di --plugin")
    lines.append(f"identity  {source.fingerprint}")
    for name, observed in spec.observed.items():
        lines += ["", f"{name} ({observed.view.modality})"]
        width = max(map(len, observed.view.factors), default=0)
        for factor, use in observed.view.factors.items():
            lines.append(f"  {factor:{width}}  {use.role:8}  {_support(spec.factors[factor])}")
    return printable("\n".join(lines))


def facts(root: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell the same in values that JSON has, for programs: keys stay, and null or an empty list is nothing.

    Raises:
        M3diError: There is none.
    """
    source = open_source(open_to_read(root))
    spec, manifest = source.spec, source.manifest if isinstance(source, ShardSource) else None
    return {
        "spec": spec.name,
        "description": spec.description,
        "layout": "m3di" if manifest else "published",
        "samples": source.n_samples,
        "source": manifest.source if manifest else "published",
        "seeds": list(manifest.all_seeds) if manifest else [],
        "render": _made_with(manifest) if manifest else {},
        "devices": list(manifest.devices) if manifest else [],
        "n_files": len(manifest.files) if manifest else None,
        "n_bytes": sum(entry.n_bytes for entry in manifest.files) if manifest else None,
        "extensions": dict(manifest.extensions) if manifest else {},
        "regimes": told_regimes(spec.regimes),
        "given": spec.given.condition if spec.given is not None else None,
        "given_share": _given_share(spec),
        "interventions": told(spec.interventions),
        "splits": told_splits(spec),
        "plugins": list(spec.plugins),
        "identity": source.fingerprint,
        "views": [
            {
                "name": name,
                "modality": observed.view.modality,
                "factors": [
                    {"name": factor, "role": use.role, **_facts_of(spec.factors[factor])}
                    for factor, use in observed.view.factors.items()
                ],
            }
            for name, observed in spec.observed.items()
        ],
    }


def _made_with(manifest: Manifest) -> dict[str, Any]:
    """Return the settings and versions that made a dataset; those of images only where there are some."""
    if manifest.parsed_spec.rendered:
        return dict(manifest.render)
    return {name: value for name, value in manifest.render.items() if name == "m3di"}


def _given_share(spec: Spec) -> float | None:
    """Return the share of draws that fulfil the condition of a spec; None where there is none, or it is not known."""
    if spec.given is None:
        return None
    with suppress(M3diError):  # of a dataset whose mechanism is not here
        return share_accepted(spec)
    return None


def _facts_of(factor: Factor) -> dict[str, Any]:
    is_label = factor.type == "categorical"
    low, high = (None, None) if is_label else factor.bounds
    return {"kind": factor.kind, "values": list(factor.names) if is_label else None, "low": low, "high": high}


def _seeds(manifest: Manifest) -> str:
    seeds = ", ".join(map(str, manifest.all_seeds))
    return f"seeds {seeds}" if len(manifest.all_seeds) > 1 else f"seed {seeds}"


def _support(factor: Factor) -> str:
    if factor.type == "categorical":
        return ", ".join(factor.names) if factor.n <= 12 else f"{factor.n} values"
    low, high = factor.bounds
    return f"{factor.kind} in [{low:g}, {high:g}]"
