"""What a server says: tokens and log-probabilities, through the OpenAI-compatible completions API of vLLM."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from npu_conformance.errors import ConformanceError

TOP = 5
"""Likeliest tokens asked for: the most that every such server gives."""
_ID = "token_id:"
_SECONDS = 120.0
# What a server otherwise takes from the model's generation_config.json, where a penalty makes it choose other tokens.
_PLAIN: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "n": 1}
_PLAIN_OF_VLLM: dict[str, Any] = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class ServerError(ConformanceError):
    """The server cannot be asked, or gives no answer that can be judged."""


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
        from openai import OpenAI

        base = url.rstrip("/")
        self.url = base if base.endswith("/v1") else f"{base}/v1"
        self._client = OpenAI(base_url=self.url, api_key=api_key, timeout=_SECONDS, max_retries=2)
        self.model = self._find(model)

    def _find(self, wanted: str | None) -> str:
        served = [one.id for one in self._ask(self._client.models.with_raw_response.list, _Models).data]
        if not served or (wanted is not None and wanted not in served):
            raise ServerError(
                f"{self.url}: --model {wanted}: serves {', '.join(served) or 'no model'}: name one of these"
            )
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
        answer = self._ask(
            lambda: self._client.completions.with_raw_response.create(
                model=self.model,
                prompt=list(prompt_ids),
                max_tokens=tokens,
                logprobs=TOP,
                **_PLAIN,
                extra_body={"return_tokens_as_token_ids": True, "cache_salt": salt, **_PLAIN_OF_VLLM},
            ),
            _Completion,
        )
        found = answer.choices[0].logprobs if answer.choices else None
        if found is None:
            raise ServerError(f"{self.url}: answered without log-probabilities: is it a vLLM server?")
        if len(found.tokens) != len(found.top_logprobs):
            raise ServerError(
                f"{self.url}: answered {len(found.tokens)} tokens with the log-probabilities of "
                f"{len(found.top_logprobs)}: is it a vLLM server?"
            )
        return [
            ServedToken(self._id(token), {self._id(one): _number(value) for one, value in (top or {}).items()})
            for token, top in zip(found.tokens, found.top_logprobs, strict=True)
        ]

    def _ask(self, question: Callable[[], Any], shape: type[_Shape]) -> _Shape:
        """Its answer, which openai's own classes would take in any shape."""
        from openai import OpenAIError

        try:
            return shape.model_validate_json(question().content)
        except OpenAIError as error:
            raise ServerError(f"{self.url}: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ServerError(
                f"{self.url}: its answer is not that of a vLLM server: {place and f'{place}: '}{first['msg']}"
            ) from error

    def _id(self, token: str) -> int:
        number = token.removeprefix(_ID)
        if number == token or not number.isdecimal():
            raise ServerError(
                f"{self.url}: names tokens by their text ({token!r}), not by their ids as vLLM's server does"
            )
        return int(number)


def _number(value: float | None) -> float:
    """JSON has no NaN: a server writes null."""
    return float("nan") if value is None else float(value)
