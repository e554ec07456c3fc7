"""Generators on pictures that are too large to run whole: layer by layer, in strips of rows.

``maps`` are feature maps that are computed by rows. ``scratch`` stores maps, in memory or files.
``layer_runner`` runs layers with the norms of the whole picture. ``generators`` has the forward
passes of the two families.
"""
