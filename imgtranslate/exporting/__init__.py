"""Export models to other formats, and prove each export against its model."""
