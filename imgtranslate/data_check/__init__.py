"""Check training pictures: duplicates, mismatched pairs, suspicious pictures."""
