"""A small HSS: user profiles with filter criteria, digest and AKA vectors, served over Cx (Diameter)."""
