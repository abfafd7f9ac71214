"""What Redis remembers: keys from keys.py, bytes from codec.py, changes are calls of schema/functions."""
