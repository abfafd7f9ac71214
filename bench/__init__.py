"""Measures the figures that the project has to reach, both sides of each ratio in one run."""
