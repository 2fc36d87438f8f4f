"""What ships to jobs: `afield.current`, and the program that runs a function. Standard library only, Python 3.8."""
