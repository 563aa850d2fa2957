"""Check, describe, cut and join finished datasets."""
