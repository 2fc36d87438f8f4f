"""Pure decisions: (world, now) to actions. No I/O, no clock, no logging."""
