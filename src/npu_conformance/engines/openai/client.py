"""What a server says: tokens and log-probabilities, through the OpenAI-compatible completions API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from npu_conformance.checkpoints.headers import shown
from npu_conformance.engines.openai.replies import Chat, Completion, Models, Names, Reply, ServedToken, read_reply
from npu_conformance.engines.openai.token_names import TokenNames
from npu_conformance.engines.openai.transport import ServerError, Shape, ask_together, in_shape

TOP = 5
"""Likeliest tokens asked for where nobody found more: as many as every such server gives."""
_NAMED = 10
PLAIN: dict[str, Any] = {
    "temperature": 0.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "n": 1,
    "stream": False,
}
"""Greedy, in fields of OpenAI's API."""
# What a server otherwise takes from the model's generation_config.json, where a penalty makes it choose other tokens;
# tokens by their ids (vLLM's fields); and nothing taken from a cache that other requests filled (vLLM's is by salt).
MORE: dict[str, Any] = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "return_tokens_as_token_ids": True,
    "return_token_ids": True,
    "cache_prompt": False,
}
"""The rest of it, in fields that vLLM has."""


@dataclass(frozen=True)
class Form:
    """How a server is asked, as far as it goes along."""

    ids: bool = True
    """Prompts as token ids; else as text."""
    more: bool = True
    """Fields that OpenAI's own API does not have."""
    top: int = TOP
    """Likeliest tokens asked for."""
    prompt_log_probs: bool = True
    """Whether it gives those of a prompt's own tokens."""
    repeats: bool = True
    """Whether it keeps requests apart, so that the same one gives the same bits again."""
    names: TokenNames | None = None
    """The tokenizer's ids by text, for a server that names tokens by that."""


@dataclass(frozen=True)
class Question:
    """One request."""

    prompt_ids: tuple[int, ...]
    tokens: int
    """At most so many in the answer."""
    salt: str | None = None
    """Of the prefix cache, which gives nothing computed under another one; a server without it ignores it."""
    of_prompt: bool = False
    """Whether the log-probabilities of the prompt's own tokens are asked for as well."""


class Server:
    """An OpenAI-compatible server, asked as vLLM's is until somebody finds that it takes less."""

    def __init__(self, url: str, model: str | None, api_key: str, seconds: float | None = None) -> None:
        """Find the model.

        Args:
            url: with or without `/v1`.
            model: as the server names it, its first where None.
            api_key: its key.
            seconds: that each answer may take.

        Raises:
            ServerError: it cannot be reached, or has no such model.
        """
        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self.form = Form()
        self.pieces: TokenNames | None = None
        """The published tokenizer's tokens, where somebody knows them."""
        self._key = api_key
        self._seconds = seconds
        found = self._ask("models", Models, [None])[0].data
        self.served = tuple(one.id for one in found)
        self.model = self._find(model)
        self.kind = next((one.owned_by for one in found if one.id == self.model), None)
        """What kind of server it says it is, such as `vllm`."""
        roots = {one.id: one.root for one in found}
        self._aliases = {one for one, root in roots.items() if root is not None and root == roots[self.model]}

    def _find(self, wanted: str | None) -> str:
        if not self.served:
            raise ServerError(f"{self.url}: serves no model")
        if wanted is not None and wanted not in self.served:
            raise ServerError(f"{self.url}: {shown(wanted)}: serves {self.names}: name one of these")
        return wanted or self.served[0]

    @property
    def names(self) -> str:
        """Of the models that it serves, for messages: the first ten."""
        return ", ".join(map(shown, self.served[:_NAMED]))

    def continue_prompt(self, prompt_ids: Sequence[int], tokens: int, salt: str) -> list[ServedToken]:
        """Greedy tokens after a prompt, each with the likeliest at its position (see `answer`)."""
        return list(self.answer(Question(tuple(prompt_ids), tokens, salt)).said)

    def answer(self, question: Question) -> Reply:
        """Ask one question, alone.

        Raises:
            ServerError: it cannot be reached, refuses, or answers without log-probabilities by token.
        """
        return self.answer_together([question])[0]

    def answer_together(self, questions: Sequence[Question]) -> list[Reply]:
        """Ask several at once, so that they are in one batch (see `answer`)."""
        asked = [self._fields(one) for one in questions]
        found = self._ask("completions", Completion, asked)
        for one in found:
            self._check_model(one.model)
            if not self.form.ids and (one.usage is None or one.usage.prompt_tokens is None):
                raise self._untold_count()
        names = Names(self.form.names, self.pieces)
        return [
            read_reply(self.url, names, question.prompt_ids, question.tokens, one)
            for question, one in zip(questions, found, strict=True)
        ]

    def _check_model(self, said: str | None) -> None:
        """Refuse an answer of another model; one of several names may answer as its first, as vLLM's does."""
        if not said or said == self.model or said in self._aliases:
            return
        dated = said.startswith(self.model) or self.model.startswith(said)
        if said in self.served or not dated:
            raise ServerError(f"{self.url}: was asked for {shown(self.model)}, answers as {shown(said)}: another model")

    def _fields(self, question: Question) -> dict[str, Any]:
        form = self.form
        prompt: Any = list(question.prompt_ids)
        if not form.ids and form.names is not None:
            prompt = form.names.text(question.prompt_ids)
        fields = {"model": self.model, "prompt": prompt, "max_tokens": question.tokens, "logprobs": form.top, **PLAIN}
        if form.more:
            fields |= MORE if question.salt is None else MORE | {"cache_salt": question.salt}
        return fields | ({"prompt_logprobs": form.top} if question.of_prompt else {})

    def own_ids(
        self, prompt: str | list[dict[str, str]], template: dict[str, Any]
    ) -> tuple[tuple[int, ...] | None, int]:
        """What the server makes of a text, or of messages: token ids where it tells them, and their number.

        Args:
            prompt: text, or messages for its chat template.
            template: arguments of that.

        Raises:
            ServerError: see `answer`; or it does not even tell their number.
        """
        fields: dict[str, Any] = {"model": self.model, "max_tokens": 1, **PLAIN}
        if self.form.more:
            fields["return_token_ids"] = True
        if isinstance(prompt, str):
            told = self._ask("completions", Completion, [fields | {"prompt": prompt}])[0]
            ids, usage = told.choices[0].prompt_token_ids if told.choices else None, told.usage
        else:
            fields |= {"messages": prompt} | ({"chat_template_kwargs": template} if template else {})
            chat = self._ask("chat/completions", Chat, [fields])[0]
            ids, usage = chat.prompt_token_ids, chat.usage
        count = usage.prompt_tokens if usage is not None else None
        if count is None and ids is None:
            raise self._untold_count()
        return None if ids is None else tuple(ids), len(ids or ()) if count is None else count

    def _untold_count(self) -> ServerError:
        return ServerError(f"{self.url}: does not say how many tokens it read: nothing shows that it read the prompt")

    def _ask(self, what: str, shape: type[Shape], questions: Sequence[dict[str, Any] | None]) -> list[Shape]:
        answers = ask_together(f"{self.url}/{what}", self._key, questions, self._seconds)
        return [in_shape(self.url, one, shape) for one in answers]
