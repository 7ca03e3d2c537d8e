"""Lazy and rich training, as in "Grokking Phenomenon Reproduction" and Kumar et al. 2024."""
