"""afield runs your code on machines you do not sit at, and never loses a job."""
