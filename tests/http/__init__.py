"""PAP, health and metrics over HTTP, against running processes."""
