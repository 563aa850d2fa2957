"""Have the C library keep the memory that a training step frees: the next step asks for the same again.

glibc gives every freed block above 32 MiB back to the system (it was mapped on its own), and the top of the heap too.
The activations of a training step are such blocks, so the kernel maps and zeroes gigabytes in each step.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of mallopt(3)
_NEVER = -1  # as an unsigned number, the largest
_TOP_PAD_BYTES = 64 << 20
_USER_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees from now on; its peak memory then stays its own until it ends.

    Does nothing if the user chose (MALLOC_... or GLIBC_TUNABLES is set, or another allocator is preloaded), or if
    the C library is not glibc.

    Returns:
        Whether it was set.
    """
    if any(name in os.environ for name in _USER_SETTINGS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if "malloc" in os.environ.get("LD_PRELOAD", "") or not is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD_BYTES))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)


def is_glibc() -> bool:
    """Whether the C library of this process is glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError):  # Windows has no confstr; elsewhere it does not know the name
        return False
