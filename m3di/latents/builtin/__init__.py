"""m3di's own mechanisms: one a file, found by `m3di.latents.mechanisms`."""
