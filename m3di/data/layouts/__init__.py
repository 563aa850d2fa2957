"""Layouts of other people, read and written."""
