"""Prompt sets for a chat template, of a model without one."""

from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt
from npu_conformance.run.chat import untemplated

PROMPTS = [
    Prompt(id="maths/one", text="1 + 1", chat=True),
    Prompt(id="maths/two", text="1 + 2", chat=True),
    Prompt(id="facts/one", text="Paris is", chat=False),
]


def config(**use: object) -> ModelConfig:
    """Of a model that is asked both sets."""
    return ModelConfig.model_validate({"model": "a/b", "prompts": [{"set": "maths", **use}, "facts"]})


def test_sets_that_are_sent_as_plain_text_are_told() -> None:
    """By name, each once, with what to do."""
    told = untemplated(config(), PROMPTS)

    assert told is not None
    assert (told.level, told.about) == ("warning", "chat template")
    assert told.message == (
        "the tokenizer has none, so that prompts of maths are sent as plain text: add the model's "
        "chat_template.jinja, or write `chat: false` for these sets in the YAML"
    )


def test_a_yaml_that_asks_for_a_template_is_an_error() -> None:
    """Silence would judge other prompts than it says."""
    told = untemplated(config(chat=True), PROMPTS)

    assert told is not None
    assert told.level == "error"
    assert "but the YAML says `chat: true` for maths: add the model's chat_template.jinja" in told.message


def test_plain_prompts_need_none() -> None:
    """Nor do no prompts at all."""
    assert untemplated(config(), PROMPTS[2:]) is None
    assert untemplated(config(), []) is None
