"""What lies on disk: manifest, tables, shards, images, tokens, card."""
