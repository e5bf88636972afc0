"""What a server is asked to show that it serves the model that was judged: an idea a file, all of it one record."""
