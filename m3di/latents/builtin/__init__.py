"""m3di's own mechanisms: grouped by the type of their values, found by `m3di.latents.mechanisms`."""
