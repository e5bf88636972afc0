"""Tests of what is found of adapters."""
