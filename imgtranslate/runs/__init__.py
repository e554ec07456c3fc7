"""A run's folder, and the data it was trained on."""
