"""The demo's scenes and its command."""
