"""Train and resume: the loop, validation, health, recovery, samples, logs, processes."""
