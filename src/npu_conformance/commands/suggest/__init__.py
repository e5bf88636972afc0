"""Limits that a run supports, as a diff of the model's config."""
