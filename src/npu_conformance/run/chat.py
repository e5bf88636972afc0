"""Prompt sets that are to go through a chat template, of a model that has none."""

from collections.abc import Collection

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.prompts import Prompt


def untemplated(config: ModelConfig, prompts: Collection[Prompt]) -> Finding | None:
    """What to say of prompts that are meant for a chat template where there is none; None of no such prompts.

    An error where the YAML itself says `chat: true`. A set that says so for all models is sent as plain text.

    Args:
        config: of the model.
        prompts: those that no template was applied to.
    """
    sets = {prompt.id.rsplit("/", 1)[0] for prompt in prompts if prompt.chat}
    if not sets:
        return None
    remedy = "add the model's chat_template.jinja, or write `chat: false` for these sets in the YAML"
    if insisted := sorted(use.set for use in config.prompts if use.chat and use.set in sets):
        told = f"the tokenizer has none, but the YAML says `chat: true` for {', '.join(insisted)}: {remedy}"
        return Finding("error", "chat template", told)
    told = f"the tokenizer has none, so that prompts of {', '.join(sorted(sets))} are sent as plain text: {remedy}"
    return Finding("warning", "chat template", told)
