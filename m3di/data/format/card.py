"""`README.md` of a dataset: the card that people and the Hugging Face Hub read."""

from __future__ import annotations

from typing import Any

import yaml

from m3di.data.format.citation import cited
from m3di.data.format.foreign_texts import stated_languages
from m3di.data.format.licences import is_cc0, licences
from m3di.data.format.manifest import MANIFEST, Manifest
from m3di.latents import (
    Factor,
    MechanismUse,
    Spec,
    to_yaml,
    told,
    told_given,
    told_regimes,
    told_splits,
)

PICTURE = "samples.png"
_SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
_SIZES += [(10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B")]


def dataset_card(manifest: Manifest) -> str:
    """The card of a dataset: YAML header, what it is, how to load it, its factors, how it was made."""
    spec = manifest.parsed_spec
    splits = {name: n for name, n in manifest.n_samples.items() if n}
    counts = ", ".join(f"{name} {n:,}" for name, n in splits.items())
    picture = f"\n![The first samples]({PICTURE})\n" if spec.rendered and splits else ""
    return f"""---
{yaml.safe_dump(_header(manifest, splits), sort_keys=False).strip()}
---

# {spec.name}

{spec.description}{_regimes(spec)}{_given(spec)}{_interventions(spec)}{_splits(spec)}
{picture}
{counts} samples{_sizes(manifest)}. {_seeds(manifest)} Every generative factor of
every sample is known.

## Load it

```python
from m3di import Multimodal3DIdent

{_example(spec, splits)}
```

Without m3di: the shards are WebDataset tar files with {_contents(manifest)} for each sample.
`SPLIT.parquet` has one row a sample: its captions, all latents, and the byte offset of each of its files; on the
Hugging Face Hub that is the configuration `latents`, `load_dataset(..., "latents")`.

## Factors

| view | factor | role | kind | values (raw) | physical | mechanism |
|---|---|---|---|---|---|---|
{chr(10).join(_rows(spec))}

Raw categorical values are indices into the values listed. Columns of the table are named `VIEW.FACTOR` (raw),
`VIEW.FACTOR_name` (the value's name) and `VIEW.FACTOR_UNIT` (physical value).{_noted(manifest)}

## How it was made

{_origin(manifest)}
The resolved spec, the seed, all settings and the SHA-256 of every file are in `{MANIFEST}`; `m3di verify` checks them.

<details><summary>The spec</summary>

```yaml
{_spec(spec)}
```

</details>

## Licences

{licences(manifest)}
## Citation

```bibtex
{cited(imported=manifest.source == "imported")}
```
"""


def _spec(spec: Spec) -> str:
    """Write the spec; of files of texts, which may be long, the size only."""
    sizes = {name: f"{len(content):,} characters, in {MANIFEST}" for name, content in spec.texts.items()}
    return to_yaml(spec.model_copy(update={"texts": sizes}) if sizes else spec).strip()


def _header(manifest: Manifest, splits: dict[str, int]) -> dict[str, Any]:
    """Write the YAML header, which the Hub reads."""
    n_total = sum(splits.values())
    return {
        "license": "cc0-1.0" if is_cc0(manifest) else "other",
        **({"language": languages} if (languages := stated_languages(manifest.parsed_spec)) else {}),
        "pretty_name": manifest.parsed_spec.name,
        "task_categories": ["feature-extraction"],
        "size_categories": [next((label for bound, label in _SIZES if n_total < bound), "n>1B")],
        "tags": ["webdataset", "multimodal", "disentanglement", "identifiability", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [{"split": hub_split(name), "path": f"{name}-*.tar"} for name in splits],
            },
            {
                "config_name": "latents",  # the Hub's viewer filters and sorts tables, not tar files
                "data_files": [{"split": hub_split(name), "path": f"{name}.parquet"} for name in splits],
            },
        ],
    }


def _sizes(manifest: Manifest) -> str:
    size = manifest.render["size_px"]
    return f"; images of {size} x {size} pixels" if manifest.parsed_spec.rendered else ""


def _example(spec: Spec, splits: dict[str, int]) -> str:
    """Write the lines that load a sample of the first split: a view, its latents, and a caption if there is one."""
    split = "train" if "train" in splits or not splits else next(iter(splits))
    name = "train" if split == "train" else "samples"
    views = [next(iter(spec.rendered))] if spec.rendered else list(spec.observed)
    keys = [each for view in views for each in (view, f"z_{view}")]
    if spec.rendered and spec.told:
        keys.insert(1, "caption")
    items = ", ".join(f'{name}[0]["{key}"]' for key in keys)
    return f'{name} = Multimodal3DIdent("path/of/this/folder", split="{split}")\n{items}'


def _noted(manifest: Manifest) -> str:
    """Describe the columns of each view that are not factors."""
    spec = manifest.parsed_spec
    kinds = {view.kind.name: view.kind for view in spec.made.values()}
    said = [
        kind.card([name for name, view in spec.made.items() if view.modality == kind.name]) for kind in kinds.values()
    ]
    made = "".join(f"\n{each}" for each in said if each)
    if not spec.rendered:
        return made
    noted = """ Of each image the table also says how
much of the object shows (`VIEW.object_visible_px`), where (`VIEW.object_left_px`, ...) and how well it stands out
(`VIEW.object_contrast`, 0 to 1): filter by them if tiny or invisible objects are of no use to you."""
    if "object_displayed_hue" in manifest.noted:
        noted += """
`VIEW.object_displayed_hue` is the median hue of the object as the image shows it (turns; -1 where it has
none): coloured light and shading move it away from the hue of the object itself."""
    return noted + made


def _seeds(manifest: Manifest) -> str:
    seeds = ", ".join(map(str, manifest.all_seeds))
    return f"Seeds {seeds}." if len(manifest.all_seeds) > 1 else f"Seed {seeds}."


def _regimes(spec: Spec) -> str:
    if not spec.regimes:
        return ""
    listed = "\n".join(f"- {each}" for each in told_regimes(spec.regimes))
    return f"""

**Mechanisms that are others in some samples** (regimes). Which case holds, the columns `REGIME` or `REGIME_CASE` say:

{listed}"""


def _given(spec: Spec) -> str:
    if spec.given is None:
        return ""
    when = ", before the interventions below" if spec.interventions else ""
    return f"\n\n**Every sample fulfils** (`given`{when}): {told_given(spec)}. All others were drawn again."


def _interventions(spec: Spec) -> str:
    if not spec.interventions:
        return ""
    listed = ", ".join(f"`{each}`" for each in told(spec.interventions))
    return f"\n\n**Under interventions**: {listed}. These mechanisms are replaced; all noise is that of `{spec.name}`."


def _splits(spec: Spec) -> str:
    """Tell which splits have a process of their own."""
    listed = "".join(f"\n- `{split}`: {each}" for split, each in told_splits(spec).items())
    return f"\n\n**Splits with a process of their own**; all else is as in the others:\n{listed}" if listed else ""


def _origin(manifest: Manifest) -> str:
    if manifest.source == "imported":
        return "Imported from the published layout of Multimodal3DIdent: images, captions and latents are its own."
    made = f"Made by m3di {manifest.render['m3di']} of the latents alone."
    if manifest.parsed_spec.rendered:
        made = f"Rendered by m3di {manifest.render['m3di']} with Blender (bpy {manifest.render['bpy']}, Cycles), "
        made += f"quality `{manifest.render['quality']}`."
    if manifest.source == "derived":
        made += " Cut or joined from other datasets: the table's `origin_*` columns say which sample each row was."
    return made


def hub_split(name: str) -> str:
    """The name of a split on the Hugging Face Hub."""
    return {"val": "validation"}.get(name, name)


def _contents(manifest: Manifest) -> str:
    return ", ".join(f"`KEY.{extension}` ({part})" for part, extension in manifest.extensions.items())


def _rows(spec: Spec) -> list[str]:
    return [
        f"| {view} | {name} | {use.role} | {spec.factors[name].kind} | {_values(spec.factors[name])} "
        f"| {_physical(spec.factors[name])} | {_mechanism(spec, view, name)} |"
        for view, declared in spec.views.items()
        for name, use in declared.factors.items()
    ]


def _values(factor: Factor) -> str:
    if factor.palettes:
        return f"{factor.n} colour names ({', '.join(factor.palettes)})"
    if factor.type == "categorical":
        return ", ".join(factor.names)
    low, high = factor.bounds
    return f"[{low:g}, {high:g}]" if factor.type == "continuous" else f"{low:.0f} to {high:.0f}"


def _physical(factor: Factor) -> str:
    if factor.physical_values is None:
        return ""
    numbers = ", ".join(f"{value:.4g}" for value in factor.physical_values)
    return f"{numbers} {factor.unit or ''}".strip()


def _mechanism(spec: Spec, view: str, name: str) -> str:
    factor, use = spec.factors[name], spec.views[view].factors[name]
    if use.value is not None:
        return f"always {use.value:g}{'; recorded only, not drawn' if use.recorded else ''}"
    called = _called(use.mechanism or factor.mechanism)
    for each in spec.replaced(name, view):
        called += f", or {_called(each.use)} where {each.switch} is {spec.factors[each.switch].value_name(each.value)}"
    called = f"{called}, then {use.change.name}" if use.change else called
    called = f"{called} where {use.when}" if use.when else called
    return f"{called}; recorded only, not drawn" if use.recorded else called


def _called(mechanism: MechanismUse) -> str:
    return f"{mechanism.name}({', '.join(mechanism.parents)})" if mechanism.parents else mechanism.name
