"""`npu-conformance init`: what a repository of one's own begins with."""
