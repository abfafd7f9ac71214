"""What the command and the console both tell of pushes and users, in the same words."""
