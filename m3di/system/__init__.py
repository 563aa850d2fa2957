"""What every room stands on: whole files, private folders, locks, signals, memory. Knows nothing of datasets."""
