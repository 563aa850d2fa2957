"""Figures of training runs and sweeps."""
