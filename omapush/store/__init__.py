"""What Redis remembers. Keys come from keys.py, bytes from codec.py, every change is one call to schema/functions."""
