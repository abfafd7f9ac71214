"""Random faults under load, and the proof afterwards that nothing that was accepted is missing."""
