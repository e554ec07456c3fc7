"""Quantisation of an exported graph: 8-bit convolutions, except where they change the result."""
