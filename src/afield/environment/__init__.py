"""What a project needs, and how a node gets the tool that makes it: a ready interpreter with the packages."""
