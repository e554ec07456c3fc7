"""Model cards: the README of a model, for a hub."""
