"""A question to a server that need not be friendly, and its answer: whole, in time, and of a size that one has.

By httpx and not by the `openai` package, whose client follows redirects, sets no bound to an answer's size or to the
time of all of it, and takes an answer of any shape.
"""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from npu_conformance.checkpoints.headers import shown
from npu_conformance.errors import ConformanceError

if TYPE_CHECKING:
    import ssl

    import httpx

SECONDS = 120.0
"""Of a question with its repetitions, however the server spends them, where nobody says another time."""
BYTES = 64 * 2**20
"""Of an answer; log-probabilities of a long prompt have some megabytes."""
_TRIES = 5
# A proxy, or a server that starts or is busy, answers so for a while.
_PASSING = (429, 502, 503, 504)
# Seconds before the question is put again: twice as many each time, or as many as the server asks for.
_FIRST, _LONGEST = 0.5, 30.0
# Of a key that is looked for in answers; a shorter one would stand in them by chance.
_SECRET = 8

_Found = TypeVar("_Found")
Shape = TypeVar("Shape", bound=BaseModel)
"""What an answer should be."""


class ServerError(ConformanceError):
    """The server cannot be asked, or gives no answer that can be judged."""


def own_key() -> str:
    """The key that this machine's user has for servers, from the environment alone; `none` where there is none."""
    return os.environ.get("OPENAI_API_KEY") or "none"


def ask_together(
    url: str, api_key: str, questions: Sequence[dict[str, Any] | None], seconds: float | None = None
) -> list[bytes]:
    """Ask a server several questions at once, so that it has them in one batch, without following it elsewhere.

    Args:
        url: what is asked.
        api_key: the server's.
        questions: each posted as JSON; None gets the address.
        seconds: that each may take.

    Raises:
        ServerError: it cannot be reached, refuses, redirects, answers too much or takes too long.
    """
    allowed = seconds or SECONDS

    async def all_of_them(client: "httpx.AsyncClient") -> list[bytes]:
        asked = (asyncio.wait_for(_asked_often(client, url, api_key, one), allowed) for one in questions)
        return list(await asyncio.gather(*asked))

    return asking(url, api_key, all_of_them, allowed)


def asking(
    url: str, api_key: str, do: "Callable[[httpx.AsyncClient], Coroutine[Any, Any, _Found]]", seconds: float
) -> _Found:
    """What a client is told by a server that is asked here; what keeps it from that is one error.

    Args:
        url: of the server, for messages.
        api_key: its key.
        do: asks it.
        seconds: that a read may take; `do` bounds the rest.

    Raises:
        ServerError: see `ask_together`.
    """
    import httpx

    if not (api_key.isascii() and api_key.isprintable()) or api_key != api_key.strip():  # httpx would say it
        raise ServerError(f"{url}: OPENAI_API_KEY has a character that no header can hold, or a space at an end")

    async def whole() -> _Found:
        limits = httpx.Limits(max_connections=None)
        headers = {"authorization": f"Bearer {api_key}", "accept-encoding": "identity"}
        async with httpx.AsyncClient(headers=headers, timeout=seconds, verify=_certificates(), limits=limits) as client:
            return await do(client)

    try:
        return asyncio.run(whole())
    except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
        raise ServerError(f"{url}: gave no whole answer in {seconds:g} s") from error
    # ImportError: of a SOCKS proxy, for which httpx needs one more package.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise ServerError(f"{url}: {shown(without_key(api_key, str(error) or type(error).__name__))}") from error


async def _asked_often(client: "httpx.AsyncClient", url: str, api_key: str, question: dict[str, Any] | None) -> bytes:
    """The answer, the question put again where what kept it from coming may pass."""
    import httpx

    for turn in range(_TRIES - 1):
        wait = _FIRST * 2**turn
        try:
            status, content, asked = await asked_once(client, url, question)
        except httpx.TransportError:
            status, content, asked = _PASSING[1], b"", None
        if status not in _PASSING:
            return _good(url, api_key, status, content)
        await asyncio.sleep(wait if asked is None else min(max(asked, 0.0), _LONGEST))
    status, content, _ = await asked_once(client, url, question)
    return _good(url, api_key, status, content)


async def asked_once(
    client: "httpx.AsyncClient", url: str, question: dict[str, Any] | bytes | None
) -> tuple[int, bytes, float | None]:
    """The status and the bytes of an answer, as they were sent: what is packed could be of any size.

    And after how many seconds it wants to be asked again, where it says so.

    Args:
        client: asks.
        url: what is asked.
        question: posted as JSON, or as bytes that should be; None gets the address.
    """
    content = bytearray()
    method = "GET" if question is None else "POST"
    sent: dict[str, Any] = {"json": question}
    if isinstance(question, bytes):
        sent = {"content": question, "headers": {"content-type": "application/json"}}
    async with client.stream(method, url, follow_redirects=False, **sent) as response:
        async for part in response.aiter_raw():
            content += part
            if len(content) > BYTES:
                raise ServerError(f"{url}: answers more than {BYTES >> 20} MiB: is it an OpenAI-compatible server?")
    later = response.headers.get("retry-after", "")
    return response.status_code, bytes(content), float(later) if later.isascii() and later.isdigit() else None


@cache
def _certificates() -> "ssl.SSLContext":
    """Read once: there are many."""
    import httpx

    return httpx.create_ssl_context()


def _good(url: str, api_key: str, status: int, content: bytes) -> bytes:
    """The content without the key: a server may repeat it, and all of this comes into traces, logs and reports."""
    text = without_key(api_key, content.decode(errors="replace"))
    if status == 200:
        return text.encode()
    if 300 <= status < 400:
        raise ServerError(f"{url}: redirects elsewhere (status {status}): name the server's own address")
    said = shown(text[:1000].strip())
    raise RefusedError(status, f"{url}: answers with status {status}{said and f': {said}'}")


def in_shape(url: str, answer: str | bytes, shape: type[Shape]) -> Shape:
    """An answer as what it should be.

    Raises:
        ServerError: it is something else; names the field.
    """
    try:
        return shape.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = shown(".".join(str(part) for part in first["loc"]))
        raise ServerError(
            f"{url}: its answer is not that of an OpenAI-compatible server: {place and f'{place}: '}"
            f"{shown(first['msg'])}"
        ) from error


def without_key(api_key: str, text: str) -> str:
    """A server's text with its own key taken out."""
    if len(api_key) < _SECRET:
        return text
    return _in_any_form(api_key).sub("(key)", text)


@cache
def _in_any_form(api_key: str) -> "re.Pattern[str]":
    """The key as itself and as JSON: some servers escape `/` or `+` there, and one may escape all."""
    forms = (f"(?:\\\\(?:{re.escape(c)}|u(?i:{ord(c):04x}))|{re.escape(c)})" for c in api_key)
    return re.compile("".join(forms))


class NamedByTextError(ServerError):
    """The server names tokens by their text, and was asked to name them by their ids."""


class RefusedError(ServerError):
    """The server answers, with a status that is an error."""

    def __init__(self, status: int, message: str) -> None:
        """Args: status: of HTTP; message: for people."""
        super().__init__(message)
        self.status = status
