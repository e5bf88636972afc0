"""A campaign: damaged inputs of a kind, one after the other, and what came out of those that read them."""

import io
import json
import resource
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from npu_conformance.errors import ConformanceError
from tests.unit.helpers.fuzzed import Kind
from tests.unit.helpers.mutated import mutate_folder

_MEMORY = 1 << 30
"""Bytes that one input may take."""


class TooLong(BaseException):
    """Of one input; no reader takes it for an error of its own."""


class Campaign:
    """Inputs of one kind."""

    def __init__(self, kind: Kind, name: str, seed: int, work: Path, kept: Path, *, seconds: float = 10) -> None:
        """Args: kept: where inputs go that break something; seconds: that one input may take."""
        self._kind, self._name, self._seed, self._kept, self._seconds = kind, name, seed, kept, seconds
        self._valid, self._work = work / "valid", work / "input"
        self._valid.mkdir(parents=True)
        kind.make(self._valid)
        self._counts: Counter[str] = Counter()
        self.escaped: dict[str, str] = {}
        """What came out and where, and the input's place."""

    @property
    def record(self) -> dict[str, Any]:
        """What was tried, JSON-able."""
        counts = {key: self._counts[key] for key in ("inputs", "refused", "escaped")}
        return {"kind": self._name, "seed": self._seed, **counts, "escapes": self.escaped}

    @property
    def line(self) -> str:
        """The same in words."""
        counts = self._counts
        return f"seed {self._seed}, {counts['inputs']} inputs, {counts['refused']} refused, {counts['escaped']} escaped"

    def attempt(self, *, damaged: bool = True) -> None:
        """One input; without damage it is the valid one."""
        rng = Random(f"{self._seed} {self._counts['inputs']}")  # noqa: S311
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._valid, self._work, symlinks=True)
        self._relink()
        patterns = self._kind.files
        names = [str(path.relative_to(self._work)) for one in patterns for path in sorted(self._work.glob(one))]
        done = mutate_folder(self._work, rng, names) if damaged else []
        try:
            with _bounds(self._seconds), _nothing_shown():
                self._counts["refused"] += self._kind.drive(self._work, rng) != 0
        except (ConformanceError, SystemExit):
            self._counts["refused"] += 1
        except BaseException as error:  # whatever comes out is what is looked for
            if isinstance(error, KeyboardInterrupt):
                raise
            self._keep(error, done)
        self._counts["inputs"] += 1

    def _relink(self) -> None:
        """Links into the valid input are links into this one."""
        for path in self._work.rglob("*"):
            if path.is_symlink() and path.readlink().is_relative_to(self._valid):
                target = self._work / path.readlink().relative_to(self._valid)
                path.unlink()
                path.symlink_to(target)

    def _keep(self, error: BaseException, done: list[str]) -> None:
        self._counts["escaped"] += 1
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "npu_conformance" in frame.filename or "test_fuzz" in frame.filename]
        frame = (own or frames)[-1]
        where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.name}"
        if where in self.escaped:
            return
        folder = self._kept / f"{self._name}-{self._seed}-{self._counts['inputs']}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._work, folder, symlinks=True, ignore=_pipes)
        told = "".join(traceback.format_exception(error))[-20_000:]
        text = json.dumps(done, indent=1) + "\n" + told
        (folder / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
        self.escaped[where] = str(folder)


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]


@contextmanager
def _bounds(seconds: float) -> Iterator[None]:
    """Time and memory of one input."""

    def late(_signal: int, _frame: object) -> None:
        raise TooLong(f"took more than {seconds} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _nothing_shown() -> Iterator[None]:
    """Printed text goes through the encoding of a terminal, and nowhere."""
    with io.TextIOWrapper(io.BytesIO(), "utf-8") as out, redirect_stdout(out), redirect_stderr(out):
        yield
