"""What `make run` and `make demo` start, and a delivery to watch."""
