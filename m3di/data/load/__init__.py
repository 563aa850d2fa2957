"""Load samples and batches from a dataset, for torch."""
