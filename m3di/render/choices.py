"""What can be rendered, in words and numbers. It imports nothing: the command line lists them."""

LEAST_SIZE_PX = 8
"""Of the side of an image."""
PASSES = {"mask": "mask.png", "depth": "depth.png", "normal": "normal.npz"}
"""Passes that can be written beside an image, and the extensions of their files."""
