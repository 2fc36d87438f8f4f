"""One file per verb: arguments, then work through the SDK, then printing."""
