"""What a server says: tokens and log-probabilities, through the OpenAI-compatible completions API of vLLM."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from npu_conformance.errors import ConformanceError

TOP = 5
"""Likeliest tokens asked for: the most that every such server gives."""
_ID = "token_id:"
_SECONDS = 120.0


class ServerError(ConformanceError):
    """The server cannot be asked, or gives no answer that can be judged."""


class Said(NamedTuple):
    """What a server said at one position."""

    token: int
    log_probs: dict[int, float]
    """Of its likeliest tokens, natural."""


class Server:
    """An OpenAI-compatible server."""

    def __init__(self, url: str, model: str | None, api_key: str) -> None:
        """Args: url: with or without `/v1`; model: as the server names it, its first where None; api_key: its key.

        Raises:
            ServerError: it cannot be reached, or has no such model.
        """
        from openai import OpenAI

        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self._client = OpenAI(base_url=self.url, api_key=api_key, timeout=_SECONDS, max_retries=2)
        self.model = self._find(model)

    def _find(self, wanted: str | None) -> str:
        served = [str(one.id) for one in self._ask(lambda: self._client.models.list().data)]
        if not served or (wanted is not None and wanted not in served):
            raise ServerError(
                f"{self.url}: --model {wanted}: serves {', '.join(served) or 'no model'}: name one of these"
            )
        return wanted or served[0]

    def continue_prompt(self, prompt_ids: Sequence[int], tokens: int) -> list[Said]:
        """Greedy tokens after a prompt, each with the likeliest at its position.

        Raises:
            ServerError: it cannot be reached, refuses, or answers without log-probabilities by token id.
        """
        answer = self._ask(
            lambda: self._client.completions.create(
                model=self.model,
                prompt=list(prompt_ids),
                max_tokens=tokens,
                temperature=0.0,
                logprobs=TOP,
                extra_body={"return_tokens_as_token_ids": True},
            )
        )
        found = answer.choices[0].logprobs if answer.choices else None
        if found is None or not found.tokens or found.top_logprobs is None:
            raise ServerError(f"{self.url}: answered without log-probabilities: is it a vLLM server?")
        return [
            Said(self._id(token), {self._id(one): _number(value) for one, value in (top or {}).items()})
            for token, top in zip(found.tokens, found.top_logprobs, strict=True)
        ]

    def _ask(self, question: Any) -> Any:
        from openai import OpenAIError

        try:
            return question()
        except OpenAIError as error:
            raise ServerError(f"{self.url}: {error}") from error

    def _id(self, token: str) -> int:
        number = token.removeprefix(_ID)
        if number == token or not number.isdigit():
            raise ServerError(
                f"{self.url}: names tokens by their text ({token!r}), not by their ids as vLLM's server does"
            )
        return int(number)


def _number(value: float | None) -> float:
    """JSON has no NaN: a server writes null."""
    return float("nan") if value is None else float(value)
