"""`npu-conformance onboard`: from a model's files to its model config."""
