"""Quantise an exported graph: convolutions in 8-bit integers, where the result stays close."""
