"""Every setting and its default; presets, parsing and compatibility."""
