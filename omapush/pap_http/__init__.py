"""HTTP front for push initiators: PAP, health and metrics."""
