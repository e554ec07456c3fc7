"""Training data: folders, pairs, sample order, transforms, cache, loader."""
