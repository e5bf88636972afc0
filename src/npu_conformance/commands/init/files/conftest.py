pytest_plugins = ["npu_conformance.plugin"]
