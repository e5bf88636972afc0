"""Where weights are looked for, and that their digest is their content's."""

from pathlib import Path

import pytest

from npu_conformance.checkpoints.subject import find_weights, folder_digest
from npu_conformance.errors import WeightsError

MODEL = "Qwen/Qwen3.5-4B"


@pytest.fixture(autouse=True)
def modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ModelScope cache."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    return tmp_path / "modelscope"


def put(folder: Path) -> Path:
    """A checkpoint folder there."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_nothing_found_is_one_line_that_says_where_and_what_to_do(tmp_path: Path) -> None:
    """It ends up as the reason of a skip."""
    with pytest.raises(WeightsError) as caught:
        find_weights(MODEL, tmp_path / "models")

    text = str(caught.value)
    assert f"--models-root {tmp_path / 'models'}" in text
    assert str(tmp_path / "modelscope") in text
    assert "--twin" in text
    assert "\n" not in text


@pytest.mark.parametrize("where", [MODEL, "Qwen3.5-4B", "Qwen/Qwen3___5-4B"])
def test_models_root_comes_first(tmp_path: Path, modelscope: Path, where: str) -> None:
    """By hub id, by name, or as ModelScope writes it."""
    put(modelscope / "hub" / "models" / "Qwen" / "Qwen3___5-4B")
    expected = put(tmp_path / "models" / where)

    assert find_weights(MODEL, tmp_path / "models") == expected


@pytest.mark.parametrize("where", ["hub/models/Qwen/Qwen3___5-4B", "hub/Qwen/Qwen3___5-4B", "models/Qwen/Qwen3___5-4B"])
def test_modelscopes_layouts(modelscope: Path, where: str) -> None:
    """Old and new, with its '___' for '.'."""
    expected = put(modelscope / where)

    assert find_weights(MODEL, None) == expected


@pytest.mark.parametrize("revisions", [["master"], ["0" * 40, "master"], ["v1.0"]])
def test_modelscopes_snapshots(modelscope: Path, revisions: list[str]) -> None:
    """A folder a revision; its default one before any other."""
    snapshots = modelscope / "models" / MODEL.replace("/", "--") / "snapshots"
    found = [put(snapshots / revision) for revision in revisions]

    assert find_weights(MODEL, None) == found[-1]


@pytest.mark.usefixtures("cache")
def test_the_digest_is_of_content_and_names(tmp_path: Path) -> None:
    """Copies are equal; a byte, a name and an added file are not."""
    first, second = put(tmp_path / "a"), put(tmp_path / "b")
    assert folder_digest(first) == folder_digest(second)

    (second / "config.json").write_text("{ }")
    changed = folder_digest(second)
    assert changed != folder_digest(first)

    (second / "config.json").rename(second / "other.json")
    assert folder_digest(second) != changed


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "README", "readme_zh.md", "USE_POLICY.md", "LICENSE", "LICENSE.txt", "LICENSE-MODEL"),
        *("MODEL_LICENSE", "Tongyi Qianwen LICENSE AGREEMENT.txt", "NOTICE", ".gitattributes", ".msc"),
        *("configuration.json", "conversion.json", "requirements.txt", "chart.png", "paper.PDF"),
        *("SHA256SUMS", "model.safetensors.sha256"),
    ],
)
def test_copies_of_two_hubs_have_one_digest(tmp_path: Path, name: str) -> None:
    """What nobody loads is another text, or is not there at all."""
    folders = [put(tmp_path / hub) for hub in ("huggingface", "modelscope", "neither")]
    for folder in folders[:2]:
        (folder / name).write_text(folder.name)

    assert len({folder_digest(folder) for folder in folders}) == 1


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors", "pytorch_model.bin", "consolidated.pt", "model.safetensors.index.json", "model.gguf"),
        *("config.json", "generation_config.json", "quantize_config.json", "quant_model_description.json"),
        *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "qwen.tiktoken"),
        *("vocab.txt", "vocab.json", "merges.txt", "dict.txt", "chat_template.jinja", "preprocessor_config.json"),
        *("adapter_config.json", "adapter_model.safetensors", "modeling_own.py", "configuration_own.py", "license.py"),
        "of_a_kind_to_come.xyz",
    ],
)
def test_what_is_loaded_counts(tmp_path: Path, name: str) -> None:
    """Weights, configs, tokenizers, templates, adapters, code, and whatever is not known to say nothing."""
    folders = [put(tmp_path / side) for side in ("one", "other", "neither")]
    for folder in folders[:2]:
        (folder / name).write_text(f'"{folder.name}"')
    (folders[2] / name).unlink(missing_ok=True)

    assert len({folder_digest(folder) for folder in folders}) == 3


@pytest.mark.usefixtures("cache")
def test_a_file_changed_in_place_is_hashed_again(tmp_path: Path) -> None:
    """The remembered hash belongs to size and times, not to the name."""
    folder = put(tmp_path / "a")
    before = folder_digest(folder)
    (folder / "config.json").write_text("[]")

    assert folder_digest(folder) != before
