"""generation_config.json, the tokenizer's files and templates: what is unreadable, and what others read otherwise."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.inspect import examine
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

GENERATION, SETTINGS, TOKENIZER = "generation_config.json", "tokenizer_config.json", "tokenizer.json"
BYTES = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]}}
META = {"pre_tokenizer": {"type": "Metaspace"}, "decoder": None}
CONFIG = LLAMA | {"model_type": "llama", "eos_token_id": 2}


def findings(folder: Path, files: dict[str, Any], config: dict[str, Any] = CONFIG) -> list[str]:
    """What is said of a Llama with these files."""
    write(folder, config, llama())
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return [f"{one.level} {one}" for one in examine(folder).findings]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({GENERATION: "{no"}, f"error {GENERATION}: cannot be read as JSON"),
        ({GENERATION: ""}, f"error {GENERATION}: "),
        ({SETTINGS: "[]"}, f"error {SETTINGS}: "),
        ({TOKENIZER: "<html>"}, f"error {TOKENIZER}: cannot be read as JSON"),
        ({"special_tokens_map.json": "3"}, "error special_tokens_map.json: "),
        (
            {GENERATION: {"repetition_penalty": 1.05}},
            f"note {GENERATION}: repetition_penalty is 1.05, which vLLM",
        ),
        (
            {GENERATION: {"eos_token_id": [3, 4]}},
            f"note {GENERATION}: eos_token_id is [3, 4], in config.json it is [2]: engines stop at those",
        ),
        ({SETTINGS: {"tokenizer_class": "TokenizersBackend"}}, f"note {SETTINGS}: was saved by transformers 5, and"),
        ({SETTINGS: {"extra_special_tokens": ["<a>"]}}, f"note {SETTINGS}: was saved by transformers 5, and"),
        (
            {SETTINGS: {"tokenizer_class": "LlamaTokenizerFast"}, TOKENIZER: BYTES},
            f"warning {SETTINGS}: tokenizer_class is LlamaTokenizerFast, and {TOKENIZER} is of another kind",
        ),
        (
            {TOKENIZER: {"added_tokens": [{"id": 49, "content": "a"}, {"id": 50, "content": "<far>"}]}},
            f"note {TOKENIZER}: '<far>' has id 50, and the embedding 50 rows: a prompt with it is refused",
        ),
        (
            {"chat_template.jinja": "{{ a }}", SETTINGS: {"chat_template": "{{ b }}"}},
            f"note chat_template.jinja: is another template than that of {SETTINGS}: newer releases",
        ),
    ],
)
def test_a_surprise_is_named(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    """By its file."""
    (found,) = findings(tmp_path, files)

    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("files", "config"),
    [
        ({GENERATION: {"eos_token_id": [2, 7], "temperature": 0.6, "repetition_penalty": 1.0}}, CONFIG),
        (
            {GENERATION: {}, SETTINGS: {"extra_special_tokens": {}, "tokenizer_class": "PreTrainedTokenizerFast"}},
            CONFIG,
        ),
        ({SETTINGS: {"tokenizer_class": "LlamaTokenizer"}, TOKENIZER: META}, CONFIG),
        (
            {SETTINGS: {"tokenizer_class": "LlamaTokenizerFast"}, TOKENIZER: BYTES},
            CONFIG | {"model_type": "deepseek_v3"},
        ),
        ({"chat_template.jinja": "{{ a }}\n", SETTINGS: {"chat_template": "{{ a }}"}}, CONFIG),
        ({"chat_template.jinja": "{{ a }}", SETTINGS: {"chat_template": [{"name": "x", "template": "y"}]}}, CONFIG),
        ({TOKENIZER: {"added_tokens": [{"id": 49, "content": "a"}]}}, CONFIG),
    ],
)
def test_what_is_published_is_silent(tmp_path: Path, files: dict[str, Any], config: dict[str, Any]) -> None:
    """Sampling that greedy answers do not depend on, families that transformers knows, one template twice."""
    assert findings(tmp_path, files, config) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("ByteLevel"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "id", "content", "pretokenizers", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["eos_token_id", "repetition_penalty", "tokenizer_class", "chat_template", "added_tokens"])
PARTS = KEYS | st.sampled_from(["pre_tokenizer", "decoder", "extra_special_tokens"])


@settings(max_examples=60, deadline=2000)
@given(
    files=st.dictionaries(
        st.sampled_from([GENERATION, SETTINGS, TOKENIZER]), st.dictionaries(PARTS, JSON, max_size=4) | JSON, max_size=3
    )
)
def test_any_content_is_lines_or_nothing(files: dict[str, Any]) -> None:
    """No exception of any kind."""
    with tempfile.TemporaryDirectory() as folder:
        found = findings(Path(folder), {name: json.dumps(content) for name, content in files.items()})

    assert all(line.isprintable() and len(line) < 2000 for line in found)
