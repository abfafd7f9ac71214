"""The record of who did what; it cannot be changed without the change being visible."""
