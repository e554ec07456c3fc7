"""The `evaluate` command: metrics of translations against real pictures."""
