"""A generator on pictures too big to be run whole: stage by stage, in strips of rows.

``maps`` are feature maps that are computed by rows; ``scratch`` keeps some of them outside the
memory; ``stages`` measures and applies norms of the whole picture; ``generators`` walks through
the two families; ``sampled`` is what is left where there is no room for any of it.
"""
