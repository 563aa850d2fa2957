"""What "auto" stands for; TF32 is set where it is asked for, in both of torch's ways of saying it, and unset."""

from __future__ import annotations

import pytest
import torch

from m3di.errors import UsageError
from m3di.learn.training.precision import exact_products, float32_products, resolve_precision

MATMUL, CUDNN = torch.backends.cuda.matmul, torch.backends.cudnn
NEEDS_WORDS = pytest.mark.skipif(not hasattr(CUDNN, "conv"), reason="torch before 2.9 has one way of saying it")


def switches():
    words = (
        (MATMUL.fp32_precision, CUDNN.conv.fp32_precision, CUDNN.rnn.fp32_precision) if hasattr(CUDNN, "conv") else ()
    )
    return (MATMUL.allow_tf32, CUDNN.allow_tf32, *words)


@pytest.fixture(autouse=True)
def as_before():
    before = switches()
    yield
    MATMUL.allow_tf32, CUDNN.allow_tf32 = before[:2]
    assert switches()[:2] == before[:2]


def test_auto_is_what_the_device_is_fast_at(monkeypatch):
    assert resolve_precision("bf16", "cpu") == "bf16"
    for has_it, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("m3di.learn.training.precision._cpu_has_bf16", lambda has_it=has_it: has_it)
        assert resolve_precision("auto", "cpu") == expected
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it, **_: has_it)
        assert resolve_precision("auto", "cuda") == expected


def test_tf32_where_there_is_none(monkeypatch):
    with pytest.raises(UsageError, match=r"tf32 is a precision of NVIDIA GPUs(?s:.)*cpu(?s:.)*'fp32' or 'auto'"):
        resolve_precision("tf32", "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(UsageError, match=r"compute capability 7\.5"):
        resolve_precision("tf32", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert resolve_precision("tf32", "cuda") == "tf32"


@pytest.mark.parametrize("before", [(False, True), (True, True), (False, False), (True, False)])
@pytest.mark.parametrize(("precision", "on"), [("fp32", False), ("bf16", False), ("tf32", True)])
def test_only_tf32_is_tf32_and_what_was_set_comes_back(before, precision, on):
    MATMUL.allow_tf32, CUDNN.allow_tf32 = before
    all_before = switches()
    with float32_products(precision, "cuda"):
        assert switches()[:2] == (on, on)
        if hasattr(CUDNN, "conv"):
            assert [word == "tf32" for word in switches()[2:]] == [on] * 3
        assert torch.get_float32_matmul_precision() == ("high" if on else "highest")  # torch.compile reads this too
        with exact_products("cuda"):
            assert switches()[:2] == (False, on)
        assert switches()[:2] == (on, on)
    assert switches() == all_before


def test_what_was_set_comes_back_after_an_error():
    before = switches()
    with pytest.raises(KeyError), float32_products("tf32", "cuda"):
        raise KeyError
    assert switches() == before


def test_nothing_is_set_for_the_cpu():
    before = switches()
    with float32_products("tf32", "cpu"), exact_products("cpu"):
        assert switches() == before


@NEEDS_WORDS
def test_a_process_that_used_the_newer_way_gets_it_back():
    MATMUL.fp32_precision, CUDNN.conv.fp32_precision = "tf32", "ieee"
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        switches()
    with float32_products("fp32", "cuda"):
        assert switches()[:2] == (False, False)
    assert (MATMUL.fp32_precision, CUDNN.conv.fp32_precision) == ("tf32", "ieee")
    with exact_products("cuda"):
        assert MATMUL.fp32_precision != "tf32"
    assert MATMUL.fp32_precision == "tf32"
