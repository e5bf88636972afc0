"""Traces: what a run left of an engine or a reference, as a folder."""
