"""vLLM's advice is said by the names that options have here."""

import pytest

from npu_conformance.config.serve import Serve
from npu_conformance.workers.known_failures import KNOWN
from npu_conformance.workers.option_names import in_the_yaml


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (
            "ValueError: Free memory is less than desired. Decrease --gpu-memory-utilization.",
            "serve.gpu_memory_utilization",
        ),
        ("Try increasing `gpu_memory_utilization` or decreasing `max_model_len`", "serve.gpu_memory_utilization, "),
        ("lower --max-model-len, --max-model-len", "here: serve.max_model_len\n"),
    ],
)
def test_an_option_of_vllm_is_a_key_of_the_yaml(text: str, keys: str) -> None:
    """Once each."""
    assert in_the_yaml(text).startswith("options of vLLM are keys of the model's YAML here: ")
    assert keys in in_the_yaml(text)
    assert in_the_yaml(text).endswith("\n")


@pytest.mark.parametrize("text", ["", "leave out --prompts", "`trust_remote_code=True`", "--no-such-option"])
def test_what_is_no_key_says_nothing(text: str) -> None:
    """Nor what the suite has an option for."""
    assert in_the_yaml(text) == ""


def test_known_failures_name_keys_as_the_yaml_has_them() -> None:
    """A bare name is no advice: it is under `serve`."""
    names = [name for name in Serve.model_fields if "_" in name and name != "trust_remote_code"]
    bare = [
        (known.name, name)
        for known in KNOWN
        for name in names
        if name in known.remedy.replace(f"serve.{name}", "") and f"{name}:" not in known.remedy
    ]

    assert bare == []
