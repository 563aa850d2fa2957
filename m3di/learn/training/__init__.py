"""Training runs and sweeps: from a dataset and a configuration to weights in a folder."""
