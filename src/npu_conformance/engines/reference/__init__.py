"""Transformers in full precision as the reference, and the floor runs."""
