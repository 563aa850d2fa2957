"""Where the files of a dataset lie: a folder of this machine, or a URL."""
