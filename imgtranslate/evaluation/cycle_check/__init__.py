"""The `cycle-check` command: measure how well the way back recovers the picture."""
