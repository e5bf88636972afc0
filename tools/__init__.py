"""Scripts of this repository, run by `make`."""
