"""Reaches one node: opens a link, forwards a port, copies."""
