"""What a project needs, made into a ready interpreter on a node."""
