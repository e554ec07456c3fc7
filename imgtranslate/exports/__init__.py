"""Models as files that other programs run: written, run beside the model, and described."""
