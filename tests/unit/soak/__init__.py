"""Tests of what judges a soak."""
