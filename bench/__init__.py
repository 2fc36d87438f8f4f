"""Side by side with what a person would do by hand: every figure is a ratio of two things measured in turn in one run."""
