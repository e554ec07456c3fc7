"""Evaluation of a run: evaluate, cycle-check, report and study."""
