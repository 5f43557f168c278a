"""The static check of a state tree: what would go wrong, told before any minion is asked."""
