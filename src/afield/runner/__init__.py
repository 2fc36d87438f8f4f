"""What ships to nodes: link, keeper, shepherds. Standard library only, Python 3.8; imports nothing of ours."""
