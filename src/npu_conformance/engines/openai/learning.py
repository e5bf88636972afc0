"""What a server goes along with, found by asking it for one token."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from npu_conformance.engines.openai.client import Form, Question, Server
from npu_conformance.engines.openai.token_names import TokenNames
from npu_conformance.engines.openai.transport import NamedByTextError, RefusedError, ServerError
from npu_conformance.engines.tokenizer_file import TokenizerFile

# The most that vLLM gives by default, then what every such server gives.
_TOPS = (20, 5)
_LEAST = 2
# Servers that keep requests apart by `cache_salt`, so that the same one is computed the same way again.
_REPEATS = "vllm"
# Of a question that the server does not know or allow; any other status is trouble, and no answer to what it can.
_REFUSED = (400, 422, 501)


def learn(server: Server, prompt_ids: Sequence[int], tokenizer: TokenizerFile | None) -> None:
    """Set the server's form to the most it goes along with.

    Args:
        server: to ask.
        prompt_ids: of a prompt.
        tokenizer: the published one, for servers that take or tell text alone; None where there is none.

    Raises:
        ServerError: it takes no form that can be judged; says what the fullest one got.
    """
    problem: ServerError | None = None
    names = None if tokenizer is None else TokenNames(tokenizer)
    server.pieces = names
    for form in _forms(names):
        server.form = form
        try:
            said = server.answer(Question(tuple(prompt_ids), 1)).said
        except RefusedError as error:
            problem = problem or error
            if error.status not in _REFUSED:
                raise
            continue
        except NamedByTextError as error:
            if names is None:
                raise
            problem = problem or error
            continue
        _check_words(server, len(said[0].log_probs) if said else form.top)
        server.form = replace(form, prompt_log_probs=_of_prompt(server, prompt_ids), repeats=server.kind == _REPEATS)
        return
    raise problem or ServerError(f"{server.url}: cannot be asked")


def _forms(names: TokenNames | None) -> Iterator[Form]:
    """From the most to the least."""
    for ids in (True, False) if names is not None else (True,):
        for more in (True, False):
            for top in _TOPS:
                if ids and more:
                    yield Form(ids=ids, more=more, top=top)
                if names is not None:
                    yield Form(ids=ids, more=more, top=top, names=names)


def _check_words(server: Server, count: int) -> None:
    if count < _LEAST:
        raise ServerError(f"{server.url}: tells {count} likeliest tokens of a position, at least {_LEAST} are needed")


def _of_prompt(server: Server, prompt_ids: Sequence[int]) -> bool:
    if not server.form.more:
        return False
    try:
        return server.answer(Question(tuple(prompt_ids), 1, of_prompt=True)).of_prompt is not None
    except RefusedError as error:
        if error.status not in _REFUSED:
            raise
        return False
