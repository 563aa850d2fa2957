"""Words for settings of training and simulation. It imports no torch: the command line lists them."""

from __future__ import annotations

from typing import Literal, get_args

Similarity = Literal["cosine", "neg_squared_euclidean"]
SIMILARITIES: tuple[str, ...] = get_args(Similarity)
Negatives = Literal["cross", "all"]
NEGATIVES: tuple[str, ...] = get_args(Negatives)
Schedule = Literal["constant", "cosine"]
Precision = Literal["auto", "fp32", "tf32", "bf16"]
Device = Literal["cpu", "cuda", "auto"]
DEVICES: tuple[str, ...] = get_args(Device)
WorkerKind = Literal["threads", "processes"]
