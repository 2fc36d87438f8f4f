"""Side by side with doing it by hand: every figure is a ratio of two things measured in turn in one run."""
