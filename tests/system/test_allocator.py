"""Freed memory stays with the process, and the user's own settings are left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from m3di.system import allocator

# Page faults of allocating, filling and freeing 64 MiB for the second time: none where the first 64 MiB were kept.
CODE = """
import resource, runpy, sys
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]  # by path: without PyTorch it starts sooner
if sys.argv[2] == "keep":
    assert keep_freed_memory() is (sys.argv[3] == "set")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    before = faults()
    block = bytearray(1) * (64 << 20)
    del block
    after = faults()
print(after - before)
"""


def page_faults(*arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    done = subprocess.run(
        [sys.executable, "-c", CODE, allocator.__file__, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not allocator.is_glibc(), reason="the C library is not glibc")
def test_freed_memory_is_kept():
    assert page_faults("plain", "") > 15  # pages of 4 KiB or 2 MiB
    assert page_faults("keep", "set") < 15
    assert page_faults("keep", "not set", MALLOC_TRIM_THRESHOLD_="100000") > 15


@pytest.mark.parametrize(
    "setting",
    [("MALLOC_MMAP_MAX_", "9"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"), ("LD_PRELOAD", "libjemalloc.so")],
)
def test_the_users_own_choice_is_left_alone(setting, monkeypatch):
    def refuse(*_args):
        raise AssertionError("mallopt was called")

    monkeypatch.setattr(allocator.ctypes, "CDLL", refuse)
    monkeypatch.setenv(*setting)
    assert allocator.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    def unknown(_name):
        raise ValueError("unrecognized configuration name")

    for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator.os, "confstr", unknown, raising=False)
    assert allocator.keep_freed_memory() is False
