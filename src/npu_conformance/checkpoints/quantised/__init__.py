"""What a quantised checkpoint says of itself, held against the tensors that are stored."""
