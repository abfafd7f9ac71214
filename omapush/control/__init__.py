"""How a running process is controlled: drain, log level, reload; and how it shows its state."""
