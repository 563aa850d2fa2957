"""Meshes of the user and of the published dataset: read, cleaned, kept, found by name."""
