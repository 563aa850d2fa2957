"""The largest numbers of a dataset. It imports nothing: the command line lists them."""

MAX_SAMPLES = 10**9
"""Samples of a split: keys have nine digits."""
MAX_SIZE_PX = 8192
"""Side of an image; one of this size takes 200 MB in memory."""
MAX_SEED = 2**63 - 1
"""Tables hold seeds as signed integers of 64 bits."""
MAX_TOKENS = 4096
"""Tokens of a caption."""
MAX_ONE_HOT = 1 << 24
"""Numbers of a caption as one-hot vectors: 64 MiB."""
MAX_BYTES = 1 << 53
MAX_MANIFEST_BYTES = 1 << 28
"""Bytes of `dataset.json`: those of a million shards, and some."""
