"""What is asserted of models (conformance) and of this suite (unit)."""
