"""What `evaluate` measures: arrays of pixels to estimates. They know no file of a run."""
