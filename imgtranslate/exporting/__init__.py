"""Export of models to other formats, and the proof that each export gives the same results."""
