"""The command line: each command or group has a module, which parses, calls and prints."""
