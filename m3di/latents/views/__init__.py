"""m3di's own modalities, found by `m3di.latents.modality`."""
