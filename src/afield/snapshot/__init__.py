"""The user's code: `take` makes a snapshot, `send` brings it to a node; they meet in a shadow repository."""
