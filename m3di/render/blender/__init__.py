"""Blender itself. Imported in worker processes only."""
