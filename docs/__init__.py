"""The pages, and in ``diagrams`` the program that draws their diagrams."""
