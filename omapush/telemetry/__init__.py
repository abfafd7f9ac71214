"""Spans of pushes on their way to a collector."""
