"""One file per verb; arguments, work and printing are three places."""
