"""The names of `m3di.data`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.data.format.assemble import nested_json
from m3di.data.format.citation import today
from m3di.data.format.devices import note_devices, noted_devices
from m3di.data.format.entries import FileEntry, SplitEntry, TextEntry
from m3di.data.format.made_files import files_of
from m3di.data.format.manifest import (
    MANIFEST,
    PLAN,
    Manifest,
    Plan,
    finished_manifest,
    manifest_in,
    plan_of,
    plugins_in,
    read_manifest,
    write_manifest,
)
from m3di.data.format.parquet import UNREADABLE, read_parquet, read_parquet_schema
from m3di.data.format.seal import CARD, file_entry, seal, write_documents
from m3di.data.format.shards import ShardWriter, read_shard, sample_key, sha256_of, shard_name
from m3di.data.format.table import TableWriter, read_annotations, shard_rows, write_samples
from m3di.data.format.tokens import Tokenizer, build_tokenizer
from m3di.data.layouts.export import export
from m3di.data.layouts.import_published import import_published
from m3di.data.layouts.layout import LAYOUTS, Layout, images_of, register_layout
from m3di.data.load.batches import Batches, Normaliser
from m3di.data.load.collation import whole_batch
from m3di.data.load.dataset import Multimodal3DIdent
from m3di.data.load.example import load_example
from m3di.data.load.loader import BatchLoader, read_ahead
from m3di.data.load.pixel_cache import cache_folder
from m3di.data.load.sources import Files, ShardSource, Source, open_source
from m3di.data.storage.places import Folder, LocalFolder, open_folder, open_to_read
from m3di.data.storage.upload import fetch, folder_to_write, upload
from m3di.data.unfinished.claim import (
    check_claim,
    claim,
    hold_part,
    made_folder,
    part_lock_name,
    prepare_folder,
    remove_leftovers,
)
from m3di.data.unfinished.journal import ImageJournal, JournalEntry, finished_images
from m3di.data.unfinished.plan_notes import (
    LOG,
    copy_name,
    damaged_plan,
    is_log,
    is_plan_note,
    new_log_name,
    note_plan,
    noted_day,
    noted_plan,
    plan_fingerprint,
)
from m3di.data.unfinished.receipts import Receipt, read_receipt, receipt_name
from m3di.data.unfinished.salvage import JOURNAL_IMAGE, sound_images
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.data.upkeep.info import facts, info
from m3di.data.upkeep.push import push
from m3di.data.upkeep.shipped_example import EXAMPLE, copy_example
from m3di.data.upkeep.subset_merge import merge, subset
from m3di.data.upkeep.verify import DataProblem, find_problems, verify
from m3di.data.upkeep.verify_samples import left_out
from m3di.system.disk import disk_errors
from m3di.system.files import PARTIAL, write_atomically
from m3di.system.lock import LOCK, HeldLock, hold_folder, locked

__all__ = [
    "CARD",
    "EXAMPLE",
    "JOURNAL_IMAGE",
    "LAYOUTS",
    "LOCK",
    "LOG",
    "MANIFEST",
    "PARTIAL",
    "PLAN",
    "UNREADABLE",
    "BatchLoader",
    "Batches",
    "DataProblem",
    "FileEntry",
    "Files",
    "Folder",
    "HeldLock",
    "ImageJournal",
    "JournalEntry",
    "Layout",
    "LocalFolder",
    "Manifest",
    "Multimodal3DIdent",
    "Normaliser",
    "Plan",
    "Receipt",
    "ShardSource",
    "ShardWriter",
    "Source",
    "SplitEntry",
    "TableWriter",
    "TextEntry",
    "Tokenizer",
    "build_tokenizer",
    "cache_folder",
    "check_claim",
    "claim",
    "copy_example",
    "copy_name",
    "damaged_plan",
    "disk_errors",
    "export",
    "facts",
    "fetch",
    "file_entry",
    "files_of",
    "find_problems",
    "finished_images",
    "finished_manifest",
    "folder_to_write",
    "hold_folder",
    "hold_part",
    "images_of",
    "import_published",
    "info",
    "is_log",
    "is_plan_note",
    "left_out",
    "load_example",
    "locked",
    "made_folder",
    "manifest_in",
    "merge",
    "nested_json",
    "new_log_name",
    "note_devices",
    "note_plan",
    "noted_day",
    "noted_devices",
    "noted_plan",
    "open_folder",
    "open_source",
    "open_to_read",
    "part_lock_name",
    "plan_fingerprint",
    "plan_of",
    "plugins_in",
    "prepare_folder",
    "push",
    "read_ahead",
    "read_annotations",
    "read_manifest",
    "read_parquet",
    "read_parquet_schema",
    "read_receipt",
    "read_shard",
    "receipt_name",
    "register_layout",
    "remove_leftovers",
    "sample_key",
    "seal",
    "sha256_of",
    "shard_name",
    "shard_rows",
    "sound_images",
    "subset",
    "today",
    "upload",
    "verify",
    "whole_batch",
    "whole_folder",
    "write_atomically",
    "write_documents",
    "write_manifest",
    "write_samples",
]
