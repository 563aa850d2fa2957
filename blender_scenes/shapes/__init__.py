"""One `.blend` file a shape."""
