"""The loop that joins thought and world: world -> plan -> effects -> events. Knows no HTTP."""
