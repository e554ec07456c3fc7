"""The cycle check, which translates pictures there and back and measures the error."""
