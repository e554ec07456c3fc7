"""Train and resume: the loop, validation, health, recovery, samples, processes."""
