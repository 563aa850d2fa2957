"""Storage of a dataset's files: a folder of this machine, or a URL."""
