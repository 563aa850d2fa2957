"""What every room stands on: whole files, folders of ours, locks, signals, memory. Knows nothing of datasets."""
