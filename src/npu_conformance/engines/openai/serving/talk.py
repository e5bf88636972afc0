"""A server that is spoken to as its users do: whatever it answers, with any status, whole or as a stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from npu_conformance.checkpoints.headers import shown
from npu_conformance.engines.openai.transport import (
    BYTES,
    ServerError,
    Shape,
    asked_once,
    asking,
    in_shape,
    without_key,
)

if TYPE_CHECKING:
    import httpx

Question = dict[str, Any] | bytes | None
"""Posted as JSON, or as bytes that should be; None gets the address."""
_END = b"[DONE]"


class Told(NamedTuple):
    """What came back."""

    status: int | None
    """None where the connection broke."""
    text: str


class Stream(NamedTuple):
    """What came back part by part."""

    parts: tuple[str, ...]
    ended: bool
    """Whether it said that it was at its end."""


@dataclass(frozen=True)
class Talk:
    """With one server."""

    url: str
    """Without `/v1`."""
    key: str
    seconds: float
    """That an answer may take."""

    def get(self, path: str) -> Told:
        """What is at an address (see `ask`)."""
        return self.ask(path, None)

    def ask(self, path: str, question: Question) -> Told:
        """Ask once.

        Raises:
            ServerError: it cannot be reached, takes too long or answers too much.
        """
        return self.ask_many(path, [question], 1)[0]

    def ask_many(self, path: str, questions: Sequence[Question], clients: int) -> list[Told]:
        """Ask much, by so many clients at once; answers in the order of the questions (see `ask`)."""
        address = f"{self.url}{path}"

        async def all_of_them(client: "httpx.AsyncClient") -> list[Told]:
            room = asyncio.Semaphore(clients)

            async def one(question: Question) -> Told:
                async with room:
                    return await asyncio.wait_for(self._once(client, address, question), self.seconds)

            return list(await asyncio.gather(*map(one, questions)))

        return asking(address, self.key, all_of_them, self.seconds)

    async def _once(self, client: "httpx.AsyncClient", address: str, question: Question) -> Told:
        import httpx

        try:
            status, content, _ = await asked_once(client, address, question)
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:  # it hung up
            return Told(None, str(error) or type(error).__name__)
        return Told(status, without_key(self.key, content.decode(errors="replace")))

    def good(self, path: str, question: Question, shape: type[Shape]) -> Shape:
        """The answer to a right request (see `ask`, and `read`)."""
        return self.read(path, self.ask(path, question), shape)

    def read(self, path: str, told: Told, shape: type[Shape]) -> Shape:
        """An answer as what it should be.

        Raises:
            ServerError: it is an error, or something else.
        """
        if told.status != 200:
            said = shown(told.text[:1000].strip())
            what = "breaks the connection" if told.status is None else f"answers with status {told.status}"
            raise ServerError(f"{self.url}{path}: {what} at a right request: {said}")
        return in_shape(f"{self.url}{path}", told.text, shape)

    def parts(self, path: str, stream: Stream, shape: type[Shape]) -> list[Shape]:
        """A stream's parts as what they should be (see `read`)."""
        return [in_shape(f"{self.url}{path}", one, shape) for one in stream.parts]

    def stream(self, path: str, question: dict[str, Any], leave_after: int | None = None) -> Stream:
        """Ask for a stream, and read it to its end, or hang up after some parts.

        Raises:
            ServerError: see `ask`; or it is refused.
        """
        address = f"{self.url}{path}"

        async def heard(client: "httpx.AsyncClient") -> Stream:
            return await asyncio.wait_for(self._heard(client, address, question, leave_after), self.seconds)

        return asking(address, self.key, heard, self.seconds)

    async def _heard(
        self, client: "httpx.AsyncClient", address: str, question: dict[str, Any], leave_after: int | None
    ) -> Stream:
        parts: list[str] = []
        size = 0
        async with client.stream("POST", address, json=question, follow_redirects=False) as response:
            if response.status_code != 200:
                content = (await response.aread())[:1000].decode(errors="replace")
                said = shown(without_key(self.key, content))
                raise ServerError(f"{address}: answers with status {response.status_code} at a right request: {said}")
            async for line in response.aiter_lines():
                size += len(line)
                if size > BYTES:
                    raise ServerError(f"{address}: streams more than {BYTES >> 20} MiB")
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:"):
                    continue
                if data == _END.decode():
                    return Stream(tuple(parts), ended=True)
                parts.append(without_key(self.key, data))
                if leave_after is not None and len(parts) >= leave_after:
                    break
        return Stream(tuple(parts), ended=False)
