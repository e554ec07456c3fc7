"""Generators on pictures too large to be run whole: layer by layer, in strips of rows.

``maps``: feature maps that are computed by rows. ``scratch``: storage of maps, in memory or files.
``layer_runner``: layers with the norms of the whole picture. ``generators``: the forward passes of
the two families.
"""
