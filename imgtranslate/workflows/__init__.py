"""What each command does, callable from Python: no printing, no parsing."""
