"""The console, looked at through a real browser."""
