"""Metrics, which compute figures with intervals from arrays of pixels."""
