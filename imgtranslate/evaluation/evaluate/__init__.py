"""Evaluation: metrics of translations compared with real pictures."""
