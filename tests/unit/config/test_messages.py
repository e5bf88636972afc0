"""What a mistake in a YAML is answered: what was found, what was expected, what to write."""

import re
from pathlib import Path

import pytest

from npu_conformance.config.model import load_config
from npu_conformance.errors import ConfigError

REASON = "{value: 0.5, reason: it was measured}"


def load(folder: Path, text: str) -> None:
    """Read a config of this text."""
    path = folder / "Model.yaml"
    path.write_text(text, encoding="utf-8")
    load_config(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "model: /data/models/Qwen3-8B",
            "model: '/data/models/Qwen3-8B' is a path. Expected organisation/name, such as Qwen/Qwen3-8B. A local "
            "folder: write local/Qwen3-8B and run with --models-root DIR, where DIR/organisation/name or DIR/name is "
            "the folder",
        ),
        (
            "model: hf_mirrors/Qwen/Qwen3-8B",
            "model: 'hf_mirrors/Qwen/Qwen3-8B' has more than two parts. Write Qwen/Qwen3-8B, without a host",
        ),
        ("model: https://huggingface.co/Qwen/Qwen3-8B", "has more than two parts. Write Qwen/Qwen3-8B, without a host"),
        ("model: models/mine/x y", "model: 'models/mine/x y' is a path. "),
        ("model: ./mine", "model: './mine' is a path. "),
        ("model: Qwen3-8B", "model: 'Qwen3-8B' is no name on a hub. "),
        ("model: a/b\nadapter: /loras/x y", "adapter: '/loras/x y' is a path. Expected organisation/name"),
        ("model: a/b\nadapter: /loras/x y", "write local/NAME and"),
        ("model: a/b\nreference: {model: ~/b}", "reference.model: '~/b' is a path. "),
        (
            "model: a/b\nlimits: {kl_mean: 0.5}",
            "limits: kl_mean: expected {value: …, reason: …}, found 0.5. Write kl_mean: {value: 0.5, reason: why this "
            "model needs another limit}",
        ),
        (
            "model: a/b\ntrust_remote_code: true",
            "trust_remote_code: unknown key; it belongs under serve: write serve: {trust_remote_code: …}",
        ),
        ("model: a/b\nattn_implementation: eager", "attn_implementation: unknown key; it belongs under reference"),
        ("model: a/b\nserve: {max_tokns: 3}", "serve.max_tokns: unknown key"),
        ("model: a/b\nserve: {dtype: bf16}", "found 'bf16'; did you mean 'bfloat16'?"),
        ("model: a/b\nserve: {dtype: BFloat16}", "found 'BFloat16'; did you mean 'bfloat16'?"),
        ("model: a/b\nserve: {dtype: fp16}", "found 'fp16'; did you mean 'float16'?"),
        ("model: a/b\nserve: {dtype: fp32}", "found 'fp32'; did you mean 'float32'?"),
        (
            "model: a/b\nserve: {quantization: ascend}",
            "serve.quantization: ascend serves weights that ModelSlim quantised. Add scheme: w8a8 or w4a8, and name "
            "the unquantised original under reference.model. For another scheme name the original and give limits of "
            "your own",
        ),
        ("model: a/b\nreference: {model: a/c}\nserve: {quantization: ascend}", "Add scheme: w8a8 or w4a8"),
        (f"model: a/b\nlimits: {{kl_mean: {REASON}}}\nserve: {{quantization: ascend}}", "Add scheme: w8a8 or w4a8"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    """In one line without a regular expression."""
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        load(tmp_path, text)

    assert len(str(raised.value).splitlines()) == 1
    assert "(?:" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "model: a/b\nreference: {model: a/c}\nscheme: w8a8\nserve: {quantization: ascend}",
        f"model: a/b\nreference: {{model: a/c}}\nlimits: {{kl_mean: {REASON}}}\nserve: {{quantization: ascend}}",
        "model: a/b\nserve: {quantization: compressed-tensors}",
        "model: local/Qwen3-8B",
    ],
)
def test_what_the_answers_say_is_accepted(tmp_path: Path, text: str) -> None:
    """A scheme of the suite's own, or limits for another."""
    load(tmp_path, text)
