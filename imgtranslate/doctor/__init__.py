"""A description of this installation and machine, and a self-test of each engine."""
