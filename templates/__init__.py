"""Caption templates as YAML files. Packaged as `m3di.templates`."""
