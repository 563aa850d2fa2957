"""The base scene and the shapes as `.blend` files, written by `make scenes`. Packaged as `m3di.blender_scenes`."""
