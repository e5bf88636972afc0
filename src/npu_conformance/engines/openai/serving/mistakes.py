"""Requests that must be refused, and a client that goes away: after each the server must answer as before."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from npu_conformance.engines.openai.serving.asked import CHAT, COMPLETIONS, Asked
from npu_conformance.engines.openai.serving.talk import Question
from npu_conformance.engines.openai.transport import ServerError
from npu_conformance.traces.serving import HungUp, Refused, Said

_CUT = 300
_AFTER = 8
_PARTS = 2
# Requests that no server has; what it tells then is no count.
_MOST = 1e9
# Looks at what the server computes, and seconds between them.
_LOOKS, _PAUSE = 10, 1.0
_RUNNING = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^}\n]*\})? (\S+)$", re.MULTILINE)


class _Mistake(NamedTuple):
    what: str
    path: str
    question: Question


def ask_mistakes(asked: Asked) -> Iterator[Refused]:
    """One after another."""
    found = list(_mistakes(asked))
    for done, one in enumerate(found):
        asked.progress("asking what must be refused", done, len(found))
        told = asked.talk.ask(one.path, one.question)
        yield Refused(
            what=one.what,
            status=told.status,
            told=told.text[:_CUT],
            as_error=_is_error(told.text),
            after=right_answer(asked),
        )


def _mistakes(asked: Asked) -> Iterator[_Mistake]:
    nobody = f"{asked.name}-that-nobody-serves"
    yield _Mistake("a model that is not served", COMPLETIONS, asked.ids(0, model=nobody))
    yield _Mistake("a model that is not served, in the chat", CHAT, asked.messages(0, model=nobody))
    if (longest := asked.longest) is not None:
        ids = list(asked.rendered.prompt_ids[0])
        long = (ids * (longest // len(ids) + 1))[:longest] + ids[:1]
        yield _Mistake("a prompt of one token more than the longest request", COMPLETIONS, asked.ids(0, prompt=long))
    yield _Mistake("JSON that ends too early", COMPLETIONS, json.dumps(asked.ids(0)).encode()[:-2])
    yield _Mistake("a text where a number belongs", COMPLETIONS, asked.ids(0, max_tokens="many"))
    yield _Mistake("fewer than no tokens", COMPLETIONS, asked.ids(0, max_tokens=-1))
    yield _Mistake("messages that are none", CHAT, asked.messages(0, messages=[{"role": 1}]))


def right_answer(asked: Asked) -> Said | None:
    """A short right answer; None where there is none."""
    with suppress(ServerError):
        return asked.completion(0, max_tokens=min(_AFTER, asked.length(0)))
    return None


def hang_up(asked: Asked) -> HungUp:
    """Go away in the middle of an answer as long as the longest request has room for."""
    asked.progress("hanging up in the middle of a stream", 0, 0)
    room = asked.length(0) if asked.longest is None else asked.longest - len(asked.rendered.prompt_ids[0])
    long = asked.ids(0, stream=True, ignore_eos=True, max_tokens=max(1, room))
    asked.talk.stream(COMPLETIONS, long, leave_after=_PARTS)
    after = running = None
    for _ in range(_LOOKS):
        time.sleep(_PAUSE)
        # Only a server that computes something counts what it computes.
        after = right_answer(asked)
        running = _running(asked)
        if not running:
            break
    return HungUp(running=running, after=after)


def _running(asked: Asked) -> int | None:
    """Requests that it computes or that wait; None where it does not tell."""
    with suppress(ServerError, ValueError):
        told = asked.talk.get("/metrics")
        counts = [float(one) for one in _RUNNING.findall(told.text)] if told.status == 200 else []
        if counts and all(0 <= one <= _MOST for one in counts):
            return round(sum(counts))
    return None


def _is_error(text: str) -> bool:
    try:
        told = json.loads(text)
    except ValueError:
        return False
    error = told.get("error", told) if isinstance(told, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)
