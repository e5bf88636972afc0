"""What a server says: tokens and log-probabilities, through the OpenAI-compatible completions API of vLLM."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from npu_conformance.checkpoints.headers import shown
from npu_conformance.commands.watch.transport import ServerError, ask

TOP = 5
"""Likeliest tokens asked for: the most that every such server gives."""
_ID = re.compile("token_id:([0-9]{1,9})")
# A log-probability, but for its rounding; vLLM writes -9999 for minus infinity.
_LEAST, _MOST = -1e6, 0.1
_NAMED = 10
# What a server otherwise takes from the model's generation_config.json, where a penalty makes it choose other tokens.
_PLAIN: dict[str, Any] = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "n": 1,
}


class ServedToken(NamedTuple):
    """What a server said at one position."""

    token: int
    log_probs: dict[int, float]
    """Of its likeliest tokens, natural."""


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class _LogProbs(BaseModel):
    tokens: list[str]
    top_logprobs: list[dict[str, float | None] | None]


class _Choice(BaseModel):
    logprobs: _LogProbs | None = None


class _Completion(BaseModel):
    choices: list[_Choice]


_Shape = TypeVar("_Shape", bound=BaseModel)


class Server:
    """An OpenAI-compatible server."""

    def __init__(self, url: str, model: str | None, api_key: str) -> None:
        """Args: url: with or without `/v1`; model: as the server names it, its first where None; api_key: its key.

        Raises:
            ServerError: it cannot be reached, or has no such model.
        """
        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self._key = api_key
        self.model = self._find(model)

    def _find(self, wanted: str | None) -> str:
        served = [one.id for one in self._ask("models", _Models).data]
        if not served:
            raise ServerError(f"{self.url}: serves no model")
        if wanted is not None and wanted not in served:
            names = ", ".join(map(shown, served[:_NAMED]))
            raise ServerError(f"{self.url}: --model {wanted}: serves {names}: name one of these")
        return wanted or served[0]

    def continue_prompt(self, prompt_ids: Sequence[int], tokens: int, salt: str) -> list[ServedToken]:
        """Greedy tokens after a prompt, each with the likeliest at its position.

        Args:
            prompt_ids: of the prompt.
            tokens: at most so many; fewer where it ends its answer.
            salt: of the prefix cache, which gives nothing computed under another one; a vLLM without it ignores it.

        Raises:
            ServerError: it cannot be reached, refuses, or answers without log-probabilities by token id.
        """
        question = {"model": self.model, "prompt": list(prompt_ids), "max_tokens": tokens, "logprobs": TOP}
        answer = self._ask(
            "completions",
            _Completion,
            {**question, **_PLAIN, "return_tokens_as_token_ids": True, "cache_salt": salt},
        )
        found = answer.choices[0].logprobs if answer.choices else None
        if found is None:
            raise ServerError(f"{self.url}: answered without log-probabilities: is it a vLLM server?")
        if len(found.tokens) != len(found.top_logprobs):
            raise ServerError(
                f"{self.url}: answered {len(found.tokens)} tokens with the log-probabilities of "
                f"{len(found.top_logprobs)}: is it a vLLM server?"
            )
        if len(found.tokens) > tokens:
            raise ServerError(f"{self.url}: answered {len(found.tokens)} tokens, was asked for {tokens}")
        return [
            ServedToken(self._id(token), {self._id(one): _number(value) for one, value in (top or {}).items()})
            for token, top in zip(found.tokens, found.top_logprobs, strict=True)
        ]

    def _ask(self, what: str, shape: type[_Shape], question: dict[str, Any] | None = None) -> _Shape:
        try:
            return shape.model_validate_json(ask(f"{self.url}/{what}", self._key, question))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = shown(".".join(str(part) for part in first["loc"]))
            raise ServerError(
                f"{self.url}: its answer is not that of a vLLM server: {place and f'{place}: '}{shown(first['msg'])}"
            ) from error

    def _id(self, token: str) -> int:
        if (found := _ID.fullmatch(token)) is None:
            raise ServerError(
                f"{self.url}: names tokens by their text ({shown(repr(token))}), not by their ids as vLLM's server does"
            )
        return int(found[1])


def _number(value: float | None) -> float:
    """NaN where it is no log-probability; JSON has no NaN, a server writes null."""
    return value if value is not None and _LEAST <= value <= _MOST else float("nan")
