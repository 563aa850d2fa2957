"""From a dataset to samples and batches, for torch."""
