"""The diagrams of the pages in ``docs``, drawn from the real settings, networks and losses.

``python -m docs.diagrams`` draws all of them anew; a test compares them with the stored files.
"""
