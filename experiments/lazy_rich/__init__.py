"""Lazy and rich training: S2 section 4, Kumar et al. 2024, and what they leave out."""
