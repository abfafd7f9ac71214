"""The service's rules: request + state + now -> decision. Pure functions, no I/O, no clock."""
