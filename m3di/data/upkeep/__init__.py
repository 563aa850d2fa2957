"""Datasets that are there: checked, described, cut and joined."""
