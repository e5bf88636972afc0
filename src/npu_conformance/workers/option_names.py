"""What vLLM's advice is called here: its command line's options are keys of a model's YAML."""

import re

from npu_conformance.config.serve import Serve

# As vLLM's messages write them: of its command line, or of its Python arguments.
_NAME = re.compile(r"--([a-z][a-z0-9-]+)|`([a-z][a-z0-9_]+)(?:=\w+)?`")
# The suite has an option of this name too.
_OURS = ("trust_remote_code",)


def in_the_yaml(text: str) -> str:
    """A line that says which keys the options in a message are, ended; empty where it names none.

    Args:
        text: of an engine, such as the end of its log.
    """
    names = [(match[1] or match[2]).replace("-", "_") for match in _NAME.finditer(text)]
    keys = [f"serve.{name}" for name in dict.fromkeys(names) if name in Serve.model_fields and name not in _OURS]
    return f"options of vLLM are keys of the model's YAML here: {', '.join(keys)}\n" if keys else ""
