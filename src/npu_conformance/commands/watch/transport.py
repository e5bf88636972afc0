"""A question to a server that need not be friendly, and its answer: whole, in time, and of a size that one has."""

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.headers import shown
from npu_conformance.errors import ConformanceError

if TYPE_CHECKING:
    import ssl

SECONDS = 120.0
"""Of a question with its repetitions, however the server spends them."""
BYTES = 4 * 2**20
"""Of an answer; that to a check has some kilobytes."""
_TRIES = 3
# A proxy, or a server that starts, answers so for a while.
_PASSING = (429, 502, 503, 504)


class ServerError(ConformanceError):
    """The server cannot be asked, or gives no answer that can be judged."""


def ask(url: str, api_key: str, question: dict[str, Any] | None = None) -> bytes:
    """Ask a server, without following it to another address.

    Args:
        url: what is asked.
        api_key: the server's.
        question: posted as JSON; None gets the address.

    Raises:
        ServerError: it cannot be reached, refuses, redirects, answers too much or takes too long.
    """
    import httpx

    if not (api_key.isascii() and api_key.isprintable()):  # httpx would say it
        raise ServerError(f"{url}: OPENAI_API_KEY has a character that no header can hold")
    try:
        return asyncio.run(asyncio.wait_for(_asked_often(url, api_key, question), SECONDS))
    except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
        raise ServerError(f"{url}: gave no whole answer in {SECONDS:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise ServerError(f"{url}: {shown(str(error) or type(error).__name__)}") from error


async def _asked_often(url: str, api_key: str, question: dict[str, Any] | None) -> bytes:
    """The answer, the question put again where what kept it from coming may pass."""
    import httpx

    for _ in range(_TRIES - 1):
        try:
            status, content = await _asked(url, api_key, question)
        except httpx.TransportError:
            status, content = _PASSING[0], b""
        if status not in _PASSING:
            return _good(url, status, content)
        await asyncio.sleep(0.5)
    return _good(url, *await _asked(url, api_key, question))


async def _asked(url: str, api_key: str, question: dict[str, Any] | None) -> tuple[int, bytes]:
    """The status and the bytes of an answer, as they were sent: what is packed could be of any size."""
    import httpx

    headers, content = {"authorization": f"Bearer {api_key}", "accept-encoding": "identity"}, bytearray()
    async with (
        httpx.AsyncClient(headers=headers, timeout=SECONDS, verify=_certificates()) as client,
        client.stream("GET" if question is None else "POST", url, json=question, follow_redirects=False) as response,
    ):
        async for part in response.aiter_raw():
            content += part
            if len(content) > BYTES:
                raise ServerError(f"{url}: answers more than {BYTES >> 20} MiB: is it a vLLM server?")
    return response.status_code, bytes(content)


@cache
def _certificates() -> "ssl.SSLContext":
    """Read once: there are many."""
    import httpx

    return httpx.create_ssl_context()


def _good(url: str, status: int, content: bytes) -> bytes:
    if status == 200:
        return content
    if 300 <= status < 400:
        raise ServerError(f"{url}: redirects elsewhere (status {status}): name the server's own address")
    said = shown(content[:1000].decode(errors="replace").strip())
    raise ServerError(f"{url}: answers with status {status}{said and f': {said}'}")
