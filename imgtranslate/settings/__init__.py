"""Every setting and its default, presets, parsing, and what fits together."""
