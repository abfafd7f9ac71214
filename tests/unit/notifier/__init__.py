"""The rules of the notifier, without Redis."""
