"""Model files: checkpoints, the headers of exports, and the weights of other programs."""
