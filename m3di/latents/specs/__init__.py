"""Built-in specs as YAML files."""
