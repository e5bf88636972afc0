"""What is made once, by its key; what failed fails again with the same error."""

from collections.abc import Callable
from typing import Any, TypeVar

from npu_conformance.errors import ConformanceError

T = TypeVar("T")


class Once:
    """Things that were asked for, and errors in place of those that could not be made."""

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._made: dict[tuple[str, ...], Any] = {}

    def __call__(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """The thing of a key, made where it is asked for the first time.

        Raises:
            ConformanceError: it could not be made.
        """
        if key not in self._made:
            try:
                self._made[key] = make()
            except ConformanceError as error:
                self._made[key] = error
        if (failed := self.error(key)) is not None:
            raise failed
        made: T = self._made[key]
        return made

    def error(self, key: tuple[str, ...]) -> ConformanceError | None:
        """Why there is nothing of a key; None where there is, or nobody asked."""
        found = self._made.get(key)
        return found if isinstance(found, ConformanceError) else None
