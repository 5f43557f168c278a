"""What a node can be made to be: one module a state family."""
