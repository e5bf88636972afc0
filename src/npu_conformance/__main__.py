"""The `npu-conformance` command, and `python -m npu_conformance` where it is not on PATH."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from npu_conformance.commands.dev_parser import DEVELOPERS
from npu_conformance.commands.parser import make_parser
from npu_conformance.commands.run import Word
from npu_conformance.commands.subcommands import RUN
from npu_conformance.errors import ConfigError, ConformanceError, printable

# A write to an open file fails without the file's name.
_OF_THE_MACHINE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Returns:
        0 when it did its job, 4 for a wrong config, 1 for any other known error; 130 when it was interrupted, 141 when
        nobody reads any more what it prints. `run` has pytest's.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal's encoding lacks
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_MACHINE:
            raise
        _drop_what_cannot_be_printed()
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"ERROR: {printable(error.filename or 'output or a file')}: {error.strerror}", file=sys.stderr)
        return 1


def _drop_what_cannot_be_printed() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    words = [Word(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    if words and words[0] in DEVELOPERS:
        print(f"ERROR: {words[0]}: is now called npu-conformance dev {words[0]}", file=sys.stderr)
        return 4
    try:
        options = _parsed(words)
    except SystemExit as ended:
        if words[:1] == ["run"] and ended.code == 2:
            return 4  # as of pytest
        raise
    try:
        return RUN[options.subcommand](options)
    except ConformanceError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 4 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parsed(words: Sequence[Word]) -> argparse.Namespace:
    """What was said; of `run` also the words that pytest gets."""
    parser = make_parser()
    options, others = parser.parse_known_args(words)
    if others and options.subcommand != "run":
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.subcommand == "run":
        options.words = [word for word in words[1:] if word is not options.target]
    return options


if __name__ == "__main__":
    sys.exit(main())
