"""`npu-conformance doctor`: what of a machine, its software, a model or a checkpoint stands in a run's way."""
