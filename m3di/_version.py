"""The version: setup.cfg, the command line and every file that names it read it from here."""

__version__ = "0.1.0"
