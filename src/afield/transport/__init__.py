"""Reach one node: open a link to the runner there, and the commands of the ssh client around it."""
