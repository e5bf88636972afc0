"""Known faults, put into a real engine on a twin, to measure what the suite catches: `npu-conformance dev faults`."""
