"""`croissant.json`: the dataset in the MLCommons Croissant vocabulary, which search engines and mlcroissant read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from m3di.data.format.citation import CREATOR, cited
from m3di.data.format.entries import FileEntry, SplitEntry
from m3di.data.format.foreign_texts import stated_languages
from m3di.data.format.licences import licence_statement
from m3di.data.format.manifest import Manifest
from m3di.data.format.responsible import KEYWORDS, responsible
from m3di.latents import Spec, told, told_regimes, told_splits

CROISSANT = "croissant.json"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(manifest: Manifest, schemas: Mapping[str, pa.Schema]) -> bytes:
    """The Croissant description: every file, and a record set for each table.

    Args:
        manifest: The dataset.
        schemas: Columns of the table of each split.
    """
    spec = manifest.parsed_spec
    splits = {name: entry for name, entry in manifest.splits.items() if entry.n_samples}
    imported, languages = manifest.source == "imported", stated_languages(spec)
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": spec.name,
        "description": _description(spec),
        "license": licence_statement(manifest),
        "version": "1.0.0",
        "creator": {"@type": "sc:Organization", "name": CREATOR},
        "citeAs": cited(imported=imported),
        **_dates(manifest),
        **({"inLanguage": languages[0] if len(languages) == 1 else languages} if languages else {}),
        "isAccessibleForFree": True,
        "keywords": KEYWORDS,
        **responsible(manifest),
        "distribution": [
            *(_file(entry.table, "application/x-parquet") for entry in splits.values()),
            *(_file(shard, "application/x-tar") for entry in splits.values() for shard in entry.shards),
        ],
        # The images are not listed: mlcroissant unpacks archives into a cache by their names alone, so that the
        # shards of one dataset would answer for those of another. The tables have the byte range of every file.
        "recordSet": [_table(name, entry, schemas[name]) for name, entry in splits.items()],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _dates(manifest: Manifest) -> dict[str, str]:
    """When it was made, which is all that is known of when it was published; nothing of an old dataset."""
    return dict.fromkeys(("datePublished", "dateCreated"), manifest.created) if manifest.created else {}


def _description(spec: Spec) -> str:
    under = f" Under interventions: {'; '.join(told(spec.interventions))}." if spec.interventions else ""
    given = f" Given: {spec.given.condition}." if spec.given is not None else ""
    regimes = f" Regimes, which replace mechanisms in some samples: {'. '.join(told_regimes(spec.regimes))}."
    splits = "; ".join(f"{split}: {each}" for split, each in told_splits(spec).items())
    return "".join(
        (
            spec.description or spec.name,
            regimes if spec.regimes else "",
            given,
            under,
            f" Splits with a process of their own: {splits}." if splits else "",
        )
    )


def _file(entry: FileEntry, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.file,
        "name": entry.file,
        "contentUrl": entry.file,
        "contentSize": f"{entry.n_bytes} B",
        "encodingFormat": encoding,
        "sha256": entry.sha256,
    }


def _table(split: str, entry: SplitEntry, schema: pa.Schema) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"One record a sample of the split {split}: its files, captions and latents.",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{column.name}",
                "name": column.name,
                "dataType": _data_type(column.type),
                "source": {"fileObject": {"@id": entry.table.file}, "extract": {"column": column.name}},
            }
            for column in schema
        ],
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
