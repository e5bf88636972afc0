"""generation_config.json and the tokenizer's files: what nobody reads, and what two read differently."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npu_conformance.checkpoints.inspect import examine
from npu_conformance.checkpoints.small_files import has_template, newer_tokenizer, small_file_findings
from tests.unit.helpers.tiny_checkpoints import LLAMA, llama, write

GENERATION, SETTINGS, WORDS = "generation_config.json", "tokenizer_config.json", "tokenizer.json"
BYTES = {"model": {"vocab": {}}, "decoder": {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small Llama with all its small files."""
    write(tmp_path, LLAMA | {"model_type": "llama", "eos_token_id": 2}, llama())
    for name, content in ((GENERATION, {"eos_token_id": [2, 7]}), (SETTINGS, {"eos_token": "</s>"})):
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def found(folder: Path, name: str | None = None, content: Any = None) -> list[str]:
    """Findings, after one file was written anew."""
    if name is not None:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return [f"{one.level} {one.about}: {one.message}" for one in small_file_findings(examine(folder))]


def test_files_as_they_are_published_have_no_findings(folder: Path) -> None:
    """More stop tokens in generation_config.json than in config.json are usual."""
    assert found(folder) == []
    assert [one for one in examine(folder).findings if one.level != "note"] == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (GENERATION, "{eos", f"error {GENERATION}: cannot be read as JSON"),
        (GENERATION, "[1]", f"error {GENERATION}: expected a JSON object, found a list"),
        (GENERATION, "", "cannot be read as JSON"),
        (GENERATION, "[" * 3000, "cannot be read as JSON"),
        (GENERATION, {"eos_token_id": "2"}, "eos_token_id is '2', expected a token id or a list of them"),
        (GENERATION, {"eos_token_id": [2, None]}, "eos_token_id is [2, None], expected a token id or a list of them"),
        (GENERATION, {"repetition_penalty": 0}, "repetition_penalty is 0, expected a number above zero"),
        (SETTINGS, {"tokenizer_class": 3}, "tokenizer_class is 3, expected text"),
        (SETTINGS, {"chat_template": 3}, "chat_template is 3, expected a template"),
        (SETTINGS, {"eos_token": ["</s>"]}, "eos_token is ['</s>'], expected a token"),
        (WORDS, {}, "model is null, expected an object with the vocabulary"),
        (WORDS, {"model": {}, "added_tokens": [{"id": -1, "content": "x"}]}, "expected a list of tokens with id"),
        ("added_tokens.json", "7", "expected a JSON object"),
        ("added_tokens.json", {"<a>": "7"}, "<a> is '7', expected a token id"),
        ("special_tokens_map.json", {"eos_token": 2}, "eos_token is 2, expected a token: its text, or an AddedToken"),
        (SETTINGS, {"pad_token": {"content": "x"}}, "pad_token is {'content': 'x'}, expected a token: its text, or an"),
        (SETTINGS, {"padding_side": None}, "padding_side is null, expected left or right"),
        (SETTINGS, {"model_max_length": "2048"}, "model_max_length is '2048', expected a number"),
        (SETTINGS, {"added_tokens_decoder": {"0": "<s>"}}, "expected tokens by id, each with its content"),
        (SETTINGS, {"extra_special_tokens": 3}, "extra_special_tokens is 3, expected a list of tokens"),
        (GENERATION, {"pad_token_id": [0]}, "pad_token_id is [0], expected a token id"),
    ],
)
def test_what_no_library_reads_is_an_error(folder: Path, name: str, content: Any, words: str) -> None:
    """With file, key, value and what was expected; the remedy is to have the file again."""
    (told,) = found(folder, name, content)

    assert told.startswith(f"error {name}: ")
    assert words in told
    assert "download" in told


def test_a_pointer_is_told_once(folder: Path) -> None:
    """By what opens files."""
    (folder / WORDS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9000000\n")

    assert found(folder) == []
    assert [one.message for one in examine(folder).findings if one.about == WORDS] == [
        f"a Git LFS pointer to a file of 9.0 MB, not the file: run `git lfs pull` in {folder}"
    ]


def test_stop_tokens_that_engines_do_not_stop_at_are_noted(folder: Path) -> None:
    """They go by generation_config.json."""
    (told,) = found(folder, GENERATION, {"eos_token_id": 7})

    assert told == (
        f"note config.json: eos_token_id is 2, {GENERATION} says 7; engines stop by {GENERATION} and at the "
        "tokenizer's own, not at 2 otherwise"
    )
    assert "generation_config.json says none; engines stop by" in found(folder, GENERATION, {"max_length": 9})[0]
    (folder / WORDS).write_text(json.dumps({"model": {"vocab": {"</s>": 2}}}))
    assert found(folder) == [], "the tokenizer's own"


def test_a_special_token_that_the_file_does_not_have_is_a_warning(folder: Path) -> None:
    """Libraries add it, with an id behind all others."""
    for words in ({"vocab": {"</s>": 2}}, {"vocab": [["</s>", -1.0]]}):
        (folder / WORDS).write_text(json.dumps({"model": words}))
        assert found(folder, SETTINGS, {"eos_token": "</s>", "bos_token": None}) == []
        (told,) = found(folder, SETTINGS, {"eos_token": {"__type": "AddedToken", "content": "<end>"}})
        assert told.startswith(
            f"warning {SETTINGS}: eos_token is <end>, which tokenizer.json does not have; transformers"
        )


def test_a_penalty_that_is_served_is_noted(folder: Path) -> None:
    """Answers judged here have none."""
    assert (
        "repetition_penalty is 1.05: vLLM serves with it"
        in found(folder, GENERATION, {"eos_token_id": 2, "repetition_penalty": 1.05})[0]
    )
    assert found(folder, GENERATION, {"eos_token_id": 2, "repetition_penalty": 1.0}) == []


def test_a_class_that_splits_otherwise_than_the_file_is_a_warning(folder: Path) -> None:
    """A Llama's SentencePiece class over a file of bytes, as DeepSeek's distilled models have it."""
    (folder / WORDS).write_text(json.dumps(BYTES))
    assert found(folder) == []

    (told,) = found(folder, SETTINGS, {"tokenizer_class": "LlamaTokenizerFast"})
    assert told.startswith(f"warning {SETTINGS}: tokenizer_class is LlamaTokenizerFast, which splits as SentencePiece")
    assert told.endswith("write PreTrainedTokenizerFast, as the file is meant")
    (folder / WORDS).write_text('{"model": {"vocab": {}}, "decoder": {"type": "Sequence", "decoders": []}}')
    assert found(folder) == []


def test_tokens_beyond_the_vocabulary_are_a_warning(folder: Path) -> None:
    """The last id is within it."""
    size = LLAMA["vocab_size"]
    added = [{"id": number, "content": f"<{number}>"} for number in (size - 1, size, 5000)]
    (folder / SETTINGS).unlink()
    (told,) = found(folder, WORDS, {"model": {"vocab": {}}, "added_tokens": added})

    assert told.startswith(f"warning {WORDS}: token <{size}> has id {size}, vocab_size is {size}; a prompt with it")
    assert told.endswith("(1 more such)")


def test_two_templates_that_differ_are_noted(folder: Path) -> None:
    """The file of its own is taken."""
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")

    assert found(folder, SETTINGS, {"chat_template": "{{ messages }}"}) == []
    (told,) = found(folder, SETTINGS, {"chat_template": "{{ other }}"})
    assert told == "note chat_template.jinja: differs from the template in tokenizer_config.json; libraries take " + (
        "chat_template.jinja"
    )


@pytest.mark.parametrize("name", ["chat_template.jinja", "chat_template.json"])
def test_a_template_is_found_where_libraries_look(folder: Path, name: str) -> None:
    """In a file of its own or with the tokenizer's settings."""
    assert not has_template(folder)
    (folder / name).write_text("{}")
    assert has_template(folder)
    (folder / name).unlink()
    (folder / SETTINGS).write_text('{"chat_template": "x"}')
    assert has_template(folder)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"tokenizer_class": "TokenizersBackend"}, "tokenizer_class TokenizersBackend"),
        ({"extra_special_tokens": ["<a>"]}, "extra_special_tokens as a list"),
    ],
)
def test_a_tokenizer_that_transformers_5_saved_is_an_error_for_an_older_one(
    folder: Path, settings: dict[str, Any], key: str
) -> None:
    """As an image of vllm-ascend 0.18 has it."""
    (folder / SETTINGS).write_text(json.dumps(settings))
    told = newer_tokenizer(examine(folder), "4.57.6", "the engine's")

    assert told is not None
    assert told.level == "error"
    assert f"has {key}, as transformers 5 writes it; the engine's transformers 4.57.6 cannot read it" in told.message
    assert newer_tokenizer(examine(folder), "5.0.0", "the engine's") is None
    (folder / SETTINGS).write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    assert newer_tokenizer(examine(folder), "4.57.6", "the engine's") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ("eos_token_id", "repetition_penalty", "tokenizer_class", "chat_template", "eos_token", "added_tokens", "model")
NAMES = (GENERATION, SETTINGS, WORDS, "special_tokens_map.json", "added_tokens.json")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(NAMES), content=st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_whatever_a_small_file_has_is_told_or_right(folder: Path, name: str, content: Any) -> None:
    """Never an exception."""
    for told in found(folder, name, content):
        assert "\n" not in told
    newer_tokenizer(examine(folder), "4.57.6", "the engine's")
    has_template(folder)
