"""Metrics: arrays of pixels to figures with intervals."""
