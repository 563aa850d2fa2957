"""What every room uses: atomic files, private folders, locks, signals, registries. It knows nothing of datasets."""
