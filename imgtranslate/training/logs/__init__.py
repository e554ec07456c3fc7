"""Other logs beside ``metrics.jsonl``: a listener on the events of a training for each."""
