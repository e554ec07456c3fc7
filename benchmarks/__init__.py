"""What the package costs beside a bare textbook loop; run from the top of the repository."""
