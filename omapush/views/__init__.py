"""What the command and the console both show of pushes and users, in the same words."""
