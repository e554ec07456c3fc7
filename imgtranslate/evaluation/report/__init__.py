"""The `report` command: a run's page."""
