"""Requests that end an answer before its end: by a stop string that it has, or by fewer tokens."""

from collections.abc import Iterator, Sequence

from npu_conformance.engines.openai.serving.asked import Asked, spread
from npu_conformance.traces.serving import Cut, Said, Stopped

_PROMPTS = 4
_STOP = 3
_UNKNOWN = "\ufffd"


def ask_stops(asked: Asked, answers: Sequence[Said]) -> Iterator[Stopped]:
    """Some answers again, each to stop at characters from its middle."""
    long = [index for index, one in enumerate(answers) if stop_of(one.text) is not None]
    for index in spread(long, _PROMPTS):
        stop = stop_of(answers[index].text)
        if stop is not None:
            yield Stopped(stop=stop, whole=answers[index].text, said=asked.completion(index, stop=[stop]))


def stop_of(text: str) -> str | None:
    """Some characters of a text, after others; None where it has none that can be asked for."""
    middle = len(text) // 2
    stop = text[middle : middle + _STOP]
    # In front of it there must be something that shows that nothing more was cut.
    return stop if len(stop) == _STOP and _UNKNOWN not in text and text.find(stop) > 0 else None


def ask_cuts(asked: Asked, answers: Sequence[Said]) -> Iterator[Cut]:
    """Some answers again, of one token, and of one token less than they have."""
    long = [index for index, one in enumerate(answers) if len(one.token_ids or ()) > 1]
    for index in spread(long, _PROMPTS):
        tokens = answers[index].token_ids or ()
        for length in sorted({1, len(tokens) - 1}):
            yield Cut(max_tokens=length, whole=tokens, said=asked.completion(index, max_tokens=length))
