"""Experiments: one file, one question, one figure of a source."""
