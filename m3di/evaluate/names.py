"""The names of `m3di.evaluate`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.evaluate.comparison import COMPARISON, compare
from m3di.evaluate.encode import encode_run, encode_samples, newest_checkpoint
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import METRICS, Metric, Range, Score, register_metric
from m3di.evaluate.npz import read_npz, write_npz
from m3di.evaluate.probe_data import ProbeData, data_for
from m3di.evaluate.protocol import Protocol
from m3di.evaluate.results import check_table_name, gather, over_seeds, read_results, swept, to_table, write_results
from m3di.evaluate.runs import OVER_STEPS, NamedRun, Request, evaluate, evaluate_all, members_of, results_of
from m3di.evaluate.scores import score

__all__ = [
    "COMPARISON",
    "METRICS",
    "OVER_STEPS",
    "Encoded",
    "EncodedView",
    "FactorValues",
    "Metric",
    "NamedRun",
    "ProbeData",
    "Protocol",
    "Range",
    "Request",
    "Score",
    "check_table_name",
    "compare",
    "data_for",
    "encode_run",
    "encode_samples",
    "evaluate",
    "evaluate_all",
    "gather",
    "members_of",
    "newest_checkpoint",
    "over_seeds",
    "read_npz",
    "read_results",
    "register_metric",
    "results_of",
    "score",
    "swept",
    "to_table",
    "write_npz",
    "write_results",
]
