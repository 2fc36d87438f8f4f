"""Code as a tree named by its hash: taken where the user is, sent to where the node is."""
