"""The loop: world, plan, effects, events. Knows no HTTP."""
