"""How the scene and the built-in shapes are made. Run by `make scenes`, never by users."""
