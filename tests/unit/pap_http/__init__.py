"""Pieces of the HTTP front, without a server."""
