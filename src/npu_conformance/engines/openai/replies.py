"""The shapes of a server's answers, and what they say position by position."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from npu_conformance.checkpoints.headers import shown
from npu_conformance.engines.openai.token_names import TokenNames
from npu_conformance.engines.openai.transport import NamedByTextError, ServerError
from npu_conformance.traces.tokens import first_difference

_ID = re.compile("token_id:([0-9]{1,9})")
# A log-probability, but for its rounding; vLLM writes -9999 for minus infinity.
_LEAST, _MOST = -1e6, 0.1


class ServedToken(NamedTuple):
    """What a server said at one position."""

    token: int
    log_probs: dict[int, float]
    """Of its likeliest tokens, natural; NaN where it gave no number."""


class Reply(NamedTuple):
    """What a server said to a prompt."""

    said: tuple[ServedToken, ...]
    text: str
    finish_reason: str | None
    of_prompt: tuple[dict[int, float], ...] | None
    """Log-probabilities at each of the prompt's tokens but the first; None where they were not given."""
    untold: bool = False
    """Whether the server leaves tokens out of what it tells of its answer, which is cut before the first of them."""


class Names(NamedTuple):
    """What is known of the published tokenizer's tokens."""

    by_text: TokenNames | None = None
    """For a server that names tokens by their text alone."""
    pieces: TokenNames | None = None
    """Their texts."""


class _Model(BaseModel):
    id: str
    owned_by: str | None = None
    root: str | None = None
    """What it was loaded from (vLLM's field): a model of several names has one, a LoRA its own."""
    parent: str | None = None
    """Of a LoRA the model that it belongs to (vLLM's field)."""
    max_model_len: int | None = None


class Models(BaseModel):
    """What it serves."""

    data: list[_Model]


class _Named(BaseModel):
    """A token in the form of llama.cpp's server, which tells ids."""

    id: int | None = None
    token: str = ""
    logprob: float | None = None


class _Position(_Named):
    top_logprobs: list[_Named] = []


class _LogProbs(BaseModel):
    tokens: list[str] = []
    top_logprobs: list[dict[str, float | None] | None] = []
    content: list[_Position] | None = None


class _LogProb(BaseModel):
    logprob: float | None


class Choice(BaseModel):
    """An answer to a prompt, or a part of one."""

    text: str = ""
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: _LogProbs | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: list[dict[int, _LogProb] | None] | None = None


class Usage(BaseModel):
    """Tokens that it counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Completion(BaseModel):
    """The answer to a prompt."""

    model: str | None = None
    choices: list[Choice]
    usage: Usage | None = None


class _Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None


class ChatChoice(BaseModel):
    """An answer to messages, or a part of one."""

    message: _Message = _Message()
    delta: _Message = _Message()
    """Of a stream's part."""
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None


class Chat(BaseModel):
    """The answer to messages, whole or a part of a stream."""

    model: str | None = None
    choices: list[ChatChoice] = []
    prompt_token_ids: list[int] | None = None
    usage: Usage | None = None


def read_reply(url: str, names: Names, prompt_ids: Sequence[int], tokens: int, answer: Completion) -> Reply:
    """What an answer says.

    Args:
        url: of the server, for messages.
        names: of tokens.
        prompt_ids: that were sent.
        tokens: that were asked for.
        answer: to read.

    Raises:
        ServerError: it is of another prompt, longer than asked for, or has no log-probabilities.
    """
    if not answer.choices or (choice := answer.choices[0]).logprobs is None:
        raise ServerError(f"{url}: answered without log-probabilities: nothing tells how sure it is of a token")
    _check_prompt(url, prompt_ids, choice.prompt_token_ids, answer.usage.prompt_tokens if answer.usage else None)
    said = _positions(url, names.by_text, choice.logprobs)
    untold = answer.usage is not None and (answer.usage.completion_tokens or 0) > len(said)
    if choice.text and not said:
        raise ServerError(f"{url}: answered {shown(repr(choice.text))} without log-probabilities of its tokens")
    if len(said) > tokens:
        raise ServerError(f"{url}: answered {len(said)} tokens, was asked for {tokens}")
    if choice.token_ids is not None and choice.token_ids != [one.token for one in said]:
        raise ServerError(f"{url}: its token ids are not those of its log-probabilities")
    asked = choice.prompt_logprobs
    of_prompt = None
    if asked is not None and len(asked) == len(prompt_ids):
        of_prompt = tuple({token: _number(found.logprob) for token, found in (one or {}).items()} for one in asked[1:])
    if untold:
        said = said[: _told(url, names.pieces, choice.logprobs)]
    return Reply(said, choice.text, choice.finish_reason, of_prompt, untold)


def _told(url: str, pieces: TokenNames | None, found: _LogProbs) -> int:
    """Positions before the first token that is left out: llama.cpp's server adds its bytes to the next token's text.

    Raises:
        ServerError: nothing shows where that is.
    """
    told = found.content or []
    if pieces is not None:
        for at, one in enumerate(told):
            if one.id is not None and one.token and one.token != pieces.piece(one.id):
                return at
        # What is left out comes last, where its bytes are added to nothing.
        if told:
            return len(told)
    raise ServerError(f"{url}: leaves tokens out of what it tells of its answer, and nothing shows which")


def _check_prompt(url: str, sent: Sequence[int], read: Sequence[int] | None, count: int | None) -> None:
    """Refuse an answer to another prompt: one that was cut, or split into tokens otherwise."""
    if read is None:
        if count is not None and count != len(sent):
            raise ServerError(
                f"{url}: read {count} tokens of a prompt that has {len(sent)}: it cuts prompts, or has another "
                "tokenizer"
            )
    elif list(read) != list(sent):
        raise ServerError(
            f"{url}: read {len(read)} token ids of a prompt that has {len(sent)}, other ones from index "
            f"{first_difference(read, sent)} on: it cuts prompts, or has another tokenizer"
        )


def _positions(url: str, names: TokenNames | None, found: _LogProbs) -> tuple[ServedToken, ...]:
    if found.content is not None:
        return tuple(_position(url, names, one) for one in found.content)
    if len(found.tokens) != len(found.top_logprobs):
        raise ServerError(
            f"{url}: answered {len(found.tokens)} tokens with the log-probabilities of {len(found.top_logprobs)}"
        )
    return tuple(
        ServedToken(_id(url, names, token), _known(url, names, (top or {}).items()))
        for token, top in zip(found.tokens, found.top_logprobs, strict=True)
    )


def _position(url: str, names: TokenNames | None, one: _Position) -> ServedToken:
    pairs = {named.id: _number(named.logprob) for named in one.top_logprobs if named.id is not None}
    if one.id is not None:
        return ServedToken(one.id, {one.id: _number(one.logprob), **pairs})
    told = [(named.token, named.logprob) for named in (one, *one.top_logprobs)]
    return ServedToken(_id(url, names, one.token), _known(url, names, told))


def _known(url: str, names: TokenNames | None, told: Iterable[tuple[str, float | None]]) -> dict[int, float]:
    """Log-probabilities of the tokens whose ids are known; the others are among all that are not likely."""
    found: dict[int, float] = {}
    for text, value in told:
        if names is None or _ID.fullmatch(text):
            found[_id(url, names, text)] = _number(value)
        elif (token := names.id(text)) is not None:
            found[token] = _number(value)
    return found


def _id(url: str, names: TokenNames | None, text: str) -> int:
    """A token's id.

    Raises:
        ServerError: it is named by a text that is none token's, or several tokens'.
    """
    if (found := _ID.fullmatch(text)) is not None:
        return int(found[1])
    if names is None:
        raise NamedByTextError(
            f"{url}: names tokens by their text ({shown(repr(text))}), not by their ids as vLLM's server does"
        )
    token = names.id(text)
    if token is None:
        raise ServerError(
            f"{url}: names a token by its text alone, {shown(repr(text))}, and {names.how_many(text)} tokens of the "
            "published tokenizer have it: which one was chosen cannot be known"
        )
    return token


def _number(value: float | None) -> float:
    """NaN where it is no log-probability; JSON has no NaN, a server writes null."""
    return value if value is not None and _LEAST <= value <= _MOST else float("nan")
