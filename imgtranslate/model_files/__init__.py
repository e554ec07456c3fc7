"""Model files: the checkpoint, the headers of exports, the weights of other programs."""
