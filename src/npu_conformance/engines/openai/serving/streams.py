"""The same request whole and as a stream, whose parts must be that answer."""

from collections.abc import Sequence

from npu_conformance.engines.openai.replies import Chat, Completion, Usage
from npu_conformance.engines.openai.serving.asked import CHAT, COMPLETIONS, Asked, spread
from npu_conformance.traces.serving import Said, Streamed

_PROMPTS = 6
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def stream_answers(asked: Asked, answers: Sequence[Said], chat: Sequence[Said]) -> list[Streamed]:
    """Some prompts' answers again, as streams.

    Args:
        asked: whom.
        answers: to all prompts' ids.
        chat: to some prompts as messages.
    """
    places = {prompt.id: index for index, prompt in enumerate(asked.rendered.prompts)}
    chosen = spread(range(len(answers)), _PROMPTS)
    found = []
    for done, whole in enumerate([*(answers[index] for index in chosen), *chat[:_PROMPTS]]):
        asked.progress("asking for streams", done, len(chosen) + len(chat[:_PROMPTS]))
        index = places[whole.prompt]
        found.append(_completion(asked, index, whole) if whole.route == "completions" else _chat(asked, index, whole))
    return found


def _completion(asked: Asked, index: int, whole: Said) -> Streamed:
    stream = asked.talk.stream(COMPLETIONS, asked.ids(index, **_STREAM))
    parts = asked.talk.parts(COMPLETIONS, stream, Completion)
    choices = [choice for part in parts for choice in part.choices]
    text = "".join(choice.text for choice in choices)
    said = asked.said(index, "completions", _model(parts), text, choices, _usage(parts))
    return Streamed(whole=whole, parts=said, ended=stream.ended, chunks=len(stream.parts))


def _chat(asked: Asked, index: int, whole: Said) -> Streamed:
    stream = asked.talk.stream(CHAT, asked.messages(index, **_STREAM))
    parts = asked.talk.parts(CHAT, stream, Chat)
    choices = [choice for part in parts for choice in part.choices]
    text = "".join((one.delta.reasoning or "") + (one.delta.content or "") for one in choices)
    said = asked.said(index, "chat", _model(parts), text, choices, _usage(parts))
    return Streamed(whole=whole, parts=said, ended=stream.ended, chunks=len(stream.parts))


def _model(parts: Sequence[Completion | Chat]) -> str | None:
    return parts[0].model if parts else None


def _usage(parts: Sequence[Completion | Chat]) -> Usage | None:
    """Of the last part that tells it."""
    return next((part.usage for part in reversed(parts) if part.usage is not None), None)
