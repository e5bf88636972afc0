"""What the server makes of a text and of messages: token ids, beside those of the checkpoint's own tokenizer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npu_conformance.engines.openai.replies import Chat, Completion
from npu_conformance.engines.openai.serving.asked import CHAT, COMPLETIONS, Asked
from npu_conformance.engines.rendering import as_messages, load_tokenizer
from npu_conformance.traces.serving import Read


def read_prompts(asked: Asked, checkpoint: Path, trust_remote_code: bool) -> Iterator[Read]:
    """Each prompt's text as a completion's, and as messages where the checkpoint has a chat template."""
    tokenizer = load_tokenizer(checkpoint, trust_remote_code)
    for index, prompt in enumerate(asked.rendered.prompts):
        asked.progress("reading prompts as the server does", index, len(asked.rendered.prompts))
        told = asked.talk.good(COMPLETIONS, asked.ids(index, prompt=prompt.text, max_tokens=1), Completion)
        found = told.choices[0].prompt_token_ids if told.choices else None
        yield Read(
            prompt=prompt.id,
            route="completions",
            expected=tuple(tokenizer(prompt.text)["input_ids"]),
            found=None if found is None else tuple(found),
            count=told.usage.prompt_tokens if told.usage else None,
        )
        if not tokenizer.chat_template:
            continue
        chat = asked.talk.good(CHAT, asked.messages(index, max_tokens=1), Chat)
        yield Read(
            prompt=prompt.id,
            route="chat",
            expected=_templated(asked, tokenizer, index),
            found=None if chat.prompt_token_ids is None else tuple(chat.prompt_token_ids),
            count=chat.usage.prompt_tokens if chat.usage else None,
        )


def _templated(asked: Asked, tokenizer: Any, index: int) -> tuple[int, ...]:
    """The ids of a prompt in the chat template, those that were judged where it was judged so."""
    if asked.rendered.chat[index]:
        return asked.rendered.prompt_ids[index]
    text = tokenizer.apply_chat_template(
        as_messages(asked.rendered.prompts[index]), tokenize=False, add_generation_prompt=True, **asked.template
    )
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
