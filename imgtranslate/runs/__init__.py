"""The folder of a run, and the pictures that it was trained on."""
