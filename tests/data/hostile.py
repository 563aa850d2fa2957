"""Datasets as a stranger might send them: manifests, tables and shards changed at random, with checksums that hold.

A case is a number: the same number makes the same dataset and asks the same of it. It stands in `ROOM/in/it`, between
files that belong to nobody; what is written goes to `ROOM/out`.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from m3di import Multimodal3DIdent, data
from m3di.data.format.manifest import Manifest, to_json
from m3di.errors import M3diError
from m3di.generate.repair import repair

MARKER = b"of nobody's business"
CPU_LIMIT_S = 10
VALUES: tuple[Any, ...] = (
    *(
        -1,
        0,
        1,
        2,
        255,
        2**31,
        2**53,
        2**63 - 1,
        2**64,
        10**12,
        10**18,
        -(2**63),
        1.5,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *("", ".", "..", "../../secret.txt", "../secret.txt", "ABSOLUTE", "/dev/zero", "a\0b", "x" * 5000, "\x1b[31mred"),
    *("dataset.json", "train-00000.tar", "val.parquet", "README.md", "train", "png", "eps", "image", "text", "uniform"),
    *("{{ 1/0 }}", "{% for a in 'x' %}{% endfor %}", "*", "train-*.tar", "CON", "é", "\ud7ff", "-rf", "gpu", "paper"),
    *(None, True, False, [], {}, [[]], [0, 0], [1, 0], {"name": "uniform"}, {"a": {"b": {}}}, ["train"] * 50),
    {"name": "categorical", "weights": [-1, 2]},
    {"name": "categorical", "weights": [1e308] * 7},
    {"name": "ar1", "parents": ["object_shape"]},
    {"name": "nobody:knows"},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document but the document itself."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*path, key)
        yield from places(below, (*path, key))


def change_document(document: dict[str, Any], draw: random.Random, room: Path) -> None:
    """One change of a document: a value replaced, moved, taken away, or a key renamed."""
    everywhere = list(places(document))
    # Most values are those of the spec: the others are drawn as often.
    others = [path for path in everywhere if path[0] != "spec" and path[:1] != ("text",)]
    path = draw.choice(draw.choice([everywhere, others]))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    value = draw.choice(VALUES)
    value = str(room / "secret.txt") if value == "ABSOLUTE" else copy.deepcopy(value)
    kind = draw.choice(["value", "value", "value", "delete", "rename", "swap", "nudge", "twice"])
    if kind == "value":
        holder[path[-1]] = value
    elif kind == "delete":
        del holder[path[-1]]
    elif kind == "rename" and isinstance(holder, dict):
        holder[str(value)[:300]] = holder.pop(path[-1])
    elif kind == "swap":
        other = document
        for key in draw.choice(everywhere):
            other = other[key]
        holder[path[-1]] = copy.deepcopy(other)
    elif kind == "nudge" and isinstance(holder[path[-1]], (int, float)):
        holder[path[-1]] += draw.choice([-1, 1, 1000, 10**9])
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[path[-1]]))


def change_table(table: pa.Table, draw: random.Random, room: Path) -> pa.Table:
    """One change of a table: cells, a type, a column or rows."""
    names = table.column_names
    # Most columns are latents: those that say where a sample lies are drawn as often.
    name = draw.choice(draw.choice([names, names[:9]]))
    place = names.index(name)
    kind = draw.choice(["cells", "cells", "cells", "null", "type", "drop", "twice", "rows", "extra"])
    if kind == "cells":
        cells = table[name].to_pylist()
        good: list[Any] = [value for value in VALUES if type(value) is type(cells[0])]
        if isinstance(cells[0], int):
            good = [value for value in good if -(2**63) <= value < 2**63]
        value = draw.choice(good or [cells[0]])
        value = str(room / "secret.txt") if value == "ABSOLUTE" else value
        for row in draw.sample(range(len(cells)), draw.randint(1, len(cells))):
            cells[row] = value
        return table.set_column(place, name, pa.array(cells, table.schema.field(name).type))
    if kind == "null":
        return table.set_column(
            place, name, pa.array([None, *table[name].to_pylist()[1:]], table.schema.field(name).type)
        )
    if kind == "type":
        other = draw.choice(
            [pa.binary(), pa.float32(), pa.uint64(), pa.list_(pa.int64()), pa.timestamp("s"), pa.large_string()]
        )
        cells = [None] * table.num_rows
        if draw.random() < 0.7:
            cells = {
                pa.binary(): [b"\xff"] * table.num_rows,
                pa.uint64(): [2**64 - 1] * table.num_rows,
                pa.list_(pa.int64()): [[1]] * table.num_rows,
                pa.large_string(): ["x"] * table.num_rows,
            }.get(other, [0] * table.num_rows)
        return table.set_column(place, name, pa.array(cells, other))
    if kind == "drop":
        return table.drop_columns([name])
    if kind == "twice":
        return table.append_column(name, table[name])
    if kind == "rows":
        return draw.choice(
            [table.slice(0, 0), table.slice(1), pa.concat_tables([table, table]), table.take([0] * len(table))]
        )
    return table.append_column(draw.choice(["extra", "../x", "x_offset"]), pa.array([b"\xff"] * table.num_rows))


def change_bytes(raw: bytes, draw: random.Random) -> bytes:
    """Some bytes of a file replaced, or its end cut off."""
    changed = bytearray(raw)
    for _ in range(draw.choice([1, 1, 3, 20])):
        changed[draw.randrange(len(changed))] = draw.choice([0, 1, 0x2E, 0x7F, 0x80, 0xFF])
    return bytes(changed if draw.random() < 0.8 else changed[: draw.randrange(len(changed))])


def forge(root: Path, draw: random.Random, room: Path) -> str:
    """Change a dataset; which kind of change it was."""
    document = json.loads((root / "dataset.json").read_text())
    split = draw.choice(["train", "val"])
    entry = document["splits"][split]
    kind = draw.choice(["manifest", "manifest", "manifest", "table", "table", "table", "table bytes", "shard bytes"])
    if kind == "manifest":
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            change_document(document, draw, room)
    elif kind == "table":
        buffer = io.BytesIO()
        pq.write_table(change_table(pq.read_table(root / f"{split}.parquet"), draw, room), buffer, compression="zstd")
        rewrite(root, entry["table"], buffer.getvalue())
    elif kind == "table bytes":
        rewrite(root, entry["table"], change_bytes((root / f"{split}.parquet").read_bytes(), draw))
    else:
        shard = draw.choice(entry["shards"])
        rewrite(root, shard, change_bytes((root / shard["file"]).read_bytes(), draw))
    try:  # with a checksum that holds, where the models take it
        raw = to_json(Manifest.model_validate(document).sealed())
    except (ValueError, M3diError):
        raw = json.dumps(document).encode()
    if kind == "manifest" and draw.random() < 0.1:
        raw = change_bytes(raw, draw)
    (root / "dataset.json").write_bytes(raw)
    return kind


def rewrite(root: Path, entry: dict[str, Any], content: bytes) -> None:
    """Replace a file, and what the manifest says of it."""
    (root / entry["file"]).write_bytes(content)
    entry |= {"n_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def use(root: Path, out: Path, other: Path) -> dict[str, Callable[[], object]]:
    """Everything that is asked of a dataset, by name."""

    def load(**options: Any) -> None:
        for split in ("train", "val"):
            dataset = Multimodal3DIdent(root, split, **options)
            list(dataset)
            dataset[list(range(len(dataset)))]

    return {
        "open": load,
        "open and skip": lambda: load(on_error="skip", one_hot=True),
        "verify": lambda: data.verify(root),
        "verify quick": lambda: data.verify(root, quick=True),
        "info": lambda: data.info(root),
        "subset": lambda: data.subset(root, out / "subset", n=2, images="webp"),
        "subset by a condition": lambda: data.subset(root, out / "some", where="image.object_color < 0.6"),
        "export upstream": lambda: data.export(root, "upstream", out / "upstream"),
        "export imagefolder": lambda: data.export(root, "imagefolder", out / "imagefolder"),
        "export croissant": lambda: data.export(root, "croissant", out / "croissant.json"),
        "merge": lambda: data.merge([root, other], out / "merged"),
        "repair": lambda: repair(root, n_workers=1),
    }


def forge_published(root: Path, draw: random.Random, room: Path) -> str:
    """Change a dataset in the published layout; which kind of change it was."""
    split = root / draw.choice(["train", "val"])
    kind = draw.choice(["plan", "plan", "own table", "own table", "csv", "csv", "captions", "image"])
    if kind == "plan":
        document = json.loads((root / "m3di.json").read_text())
        change_document(document, draw, room)
        (root / "m3di.json").write_text(json.dumps(document))
    elif kind == "own table":
        table = pq.read_table(split / "m3di.parquet")
        pq.write_table(change_table(table, draw, room), split / "m3di.parquet")
    elif kind == "csv":
        path = split / draw.choice(["latents_image.csv", "latents_text.csv"])
        lines = [line.split(",") for line in path.read_text().splitlines()]
        row = draw.choice(lines)
        row[draw.randrange(len(row))] = str(draw.choice(VALUES)).replace("\ud7ff", "")
        path.write_text("\n".join(map(",".join, lines)) if draw.random() < 0.8 else "\n".join(map(",".join, lines[1:])))
        if draw.random() < 0.5:  # by the published files alone
            (root / "m3di.json").unlink()
    else:
        path = split / ("text/text_raw.txt" if kind == "captions" else "images/0.png")
        path.write_bytes(change_bytes(path.read_bytes(), draw))
    return kind


def use_published(root: Path, out: Path) -> dict[str, Callable[[], object]]:
    """Everything that is asked of the published layout, by name."""

    def load() -> None:
        for split in ("train", "val"):
            list(Multimodal3DIdent(root, split))

    return {
        "open": load,
        "info": lambda: data.info(root),
        "import": lambda: data.import_published(root, out / "imported"),
    }


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """End what takes more time of the processor, as a hang would."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Sound:
    """Sound datasets: a rendered one, one that was cut from it, one of another seed, and a published one."""

    rendered: Path
    derived: Path
    other: Path
    published: Path


def run_case(number: int, sound: Sound, room: Path) -> list[str]:
    """Forge a dataset, and use it.

    Args:
        number: The case.
        sound: What is forged.
        room: A new folder.

    Returns:
        What went wrong; nothing, if everything was done or refused with a message, and nothing else was touched.
    """
    draw = random.Random(number)
    root, out = room / "in" / "it", room / "out"
    is_ours = draw.random() < 0.85
    source = draw.choice([sound.rendered, sound.rendered, sound.derived]) if is_ours else sound.published
    shutil.copytree(source, root)
    out.mkdir()
    for folder in (room, room / "in"):
        (folder / "secret.txt").write_bytes(MARKER * 100)
    kind = (forge if is_ours else forge_published)(root, draw, room)
    uses = use(root, out, sound.other) if is_ours else use_published(root, out)
    chosen = ["open", draw.choice(list(uses)[1:])]
    wrong = []
    for name in sorted(chosen, key=list(uses).index):
        try:
            with warnings.catch_warnings(), cpu_limit(CPU_LIMIT_S):
                warnings.simplefilter("ignore")
                uses[name]()
        except M3diError as error:
            if not str(error).isprintable() and not str(error).replace("\n", "").isprintable():
                wrong.append(f"{number}: {kind}, {name}: control characters in {str(error)!r}")
        except Exception as error:  # noqa: BLE001 - what a user would see as a traceback
            wrong.append(f"{number}: {kind}, {name}: {type(error).__name__}: {error}"[:300])
    return wrong + [f"{number}: {kind}, {', '.join(chosen)}: {what}" for what in outside(room)]


def outside(room: Path) -> Iterator[str]:
    """What was written beside the two folders, and what was read there."""
    beside = {path.relative_to(room).as_posix() for path in (*room.iterdir(), *(room / "in").iterdir())}
    if beside != {"in", "out", "secret.txt", "in/it", "in/secret.txt"}:
        yield f"beside the folders there is {sorted(beside)}"
    for folder in (room, room / "in"):
        if not (folder / "secret.txt").is_file() or (folder / "secret.txt").read_bytes() != MARKER * 100:
            yield f"{folder / 'secret.txt'} was changed"
    for path in (room / "out").rglob("*"):
        if path.is_file() and MARKER in path.read_bytes():
            yield f"{path} holds what stands outside"
