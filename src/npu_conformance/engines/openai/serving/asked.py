"""A server that is asked for the run's prompts, and how its answers are read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from npu_conformance.engines.openai.client import MORE, PLAIN, TOP
from npu_conformance.engines.openai.replies import Chat, ChatChoice, Choice, Completion, Usage
from npu_conformance.engines.openai.serving.talk import Talk, Told
from npu_conformance.engines.rendering import Rendered, as_messages
from npu_conformance.traces.serving import Route, Said

if TYPE_CHECKING:
    from npu_conformance.workers.worker import Progress

COMPLETIONS, CHAT, MODELS = "/v1/completions", "/v1/chat/completions", "/v1/models"
WRITTEN_OUT: dict[str, Any] = PLAIN | MORE
"""Greedy, with all that a server would else take from elsewhere."""

# A log-probability, but for its rounding.
_MOST = 1e-3


@dataclass(frozen=True)
class Asked:
    """A server and what it is asked."""

    talk: Talk
    name: str
    """Of what was judged: the model's at the server, or its LoRA's."""
    base: str
    """Of the model without it."""
    rendered: Rendered
    max_tokens: int
    template: dict[str, Any]
    """Arguments of the chat template."""
    progress: "Progress"

    longest: int | None = None
    """Tokens of the longest request, where the server tells it: it refuses one that might become longer."""

    @property
    def adapted(self) -> bool:
        """Whether a LoRA is served beside the model."""
        return self.name != self.base

    def length(self, index: int) -> int:
        """The longest answer to a prompt in tokens; an engine without a server cuts it by itself."""
        wanted = self.rendered.lengths(self.max_tokens)[index]
        if self.longest is None:
            return wanted
        return max(1, min(wanted, self.longest - len(self.rendered.prompt_ids[index])))

    def ids(self, index: int, **changes: Any) -> dict[str, Any]:
        """A completion of a prompt's token ids, all sampling written out; `changes` on top."""
        length = self.length(index)
        prompt = list(self.rendered.prompt_ids[index])
        return {"model": self.name, "prompt": prompt, "max_tokens": length, "logprobs": TOP, **WRITTEN_OUT, **changes}

    def messages(self, index: int, **changes: Any) -> dict[str, Any]:
        """The same of a prompt as a conversation."""
        length = self.length(index)
        template = {"chat_template_kwargs": self.template} if self.template else {}
        said = as_messages(self.rendered.prompts[index])
        return {"model": self.name, "messages": said, "max_tokens": length, **template, **WRITTEN_OUT, **changes}

    def completion(self, index: int, **changes: Any) -> Said:
        """The answer to `ids`."""
        return self.of_completion(index, self.talk.good(COMPLETIONS, self.ids(index, **changes), Completion))

    def chat(self, index: int, **changes: Any) -> Said:
        """The answer to `messages`."""
        return self.of_chat(index, self.talk.good(CHAT, self.messages(index, **changes), Chat))

    def read(self, index: int, told: Told) -> Said:
        """An answer to `ids` as it came.

        Raises:
            ServerError: it is none.
        """
        return self.of_completion(index, self.talk.read(COMPLETIONS, told, Completion))

    def of_completion(self, index: int, answer: Completion) -> Said:
        """What an answer to a prompt says."""
        choice = answer.choices[0] if answer.choices else None
        told = choice.logprobs if choice is not None else None
        pairs = list(zip(told.tokens, told.top_logprobs, strict=False)) if told is not None else []
        return self.said(
            index,
            "completions",
            answer.model,
            "" if choice is None else choice.text,
            [] if choice is None else [choice],
            answer.usage,
            log_probs=len(pairs),
            wrong_log_probs=sum(not _plausible(token, top or {}) for token, top in pairs),
        )

    def of_chat(self, index: int, answer: Chat) -> Said:
        """What an answer to messages says; what a parser of reasoning took out of it is put in front again."""
        choices = answer.choices[:1]
        text = "".join((one.message.reasoning or "") + (one.message.content or "") for one in choices)
        return self.said(index, "chat", answer.model, text, choices, answer.usage)

    def said(
        self,
        index: int,
        route: Route,
        model: str | None,
        text: str,
        choices: Sequence[Choice | ChatChoice],
        usage: Usage | None,
        **more: int,
    ) -> Said:
        """An answer, of a whole one's choice or of those of a stream's parts."""
        ids = [token for one in choices for token in one.token_ids or ()]
        return Said(
            prompt=self.rendered.prompts[index].id,
            route=route,
            model=model,
            text=text,
            token_ids=tuple(ids) if any(one.token_ids is not None for one in choices) else None,
            finish_reason=next((one.finish_reason for one in choices if one.finish_reason is not None), None),
            stop_reason=next((one.stop_reason for one in choices if one.stop_reason is not None), None),
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            total_tokens=usage.total_tokens if usage else None,
            **more,
        )

    @property
    def chats(self) -> list[int]:
        """Prompts that were judged in the chat template."""
        return [index for index, chat in enumerate(self.rendered.chat) if chat]


def spread(indices: Sequence[int], count: int) -> list[int]:
    """So many of them, evenly: the first among them, and all where there are no more."""
    if len(indices) <= count:
        return list(indices)
    return [indices[place * len(indices) // count] for place in range(count)]


def _plausible(token: str, top: dict[str, float | None]) -> bool:
    """Whether all is a log-probability, and the token that was chosen is told too."""
    values = list(top.values())
    return token in top and all(value is not None and not math.isnan(value) and value <= _MOST for value in values)
