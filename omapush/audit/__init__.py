"""Who did what, as a record that cannot be changed without it showing."""
