"""The user's code: `take` makes a snapshot of a working tree, `send` brings it to a node; both meet in a shadow repository."""
