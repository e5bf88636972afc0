"""What is asserted of this suite; run by path."""
