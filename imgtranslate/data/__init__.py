"""Folders and pairs of training pictures, and how samples are cut from them."""
