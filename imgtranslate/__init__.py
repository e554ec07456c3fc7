"""Learn to translate pictures of one kind into another, and then do it."""

from imgtranslate._version import __version__

__all__ = ["__version__"]
