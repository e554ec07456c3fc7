"""The algorithms: which losses on which networks, and what learns from them."""
