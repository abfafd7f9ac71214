"""How many nodes, and how large a Redis, a service needs: from what was measured, every assumption said."""
