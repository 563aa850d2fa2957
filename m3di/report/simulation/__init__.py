"""Tables and figures of the numerical simulation."""
