"""Hours of load at half of what the machine carries; then the proof that nothing grows or is missing."""
