"""What every subcommand does where its surroundings are odd: a terminal, a pipe, an interrupt, a path, foreign text."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npu_conformance.__main__ import main
from npu_conformance.commands import subcommands
from npu_conformance.commands.console import console, say
from npu_conformance.errors import ConfigError, printable

COMMAND = [sys.executable, "-m", "npu_conformance"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 中文\u3000全角, tab\t, new line\n", "plain, 中文\u3000全角, tab\t, new line\n"),
        ("emoji of several 👩\u200d🔬", "emoji of several 👩\u200d🔬"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07\x1b[2J\r\x08\x9b", "\\x1b]0;title\\x07\\x1b[2J\\r\\x08\\x9b"),
        ("\u202egnp.exe\u2066 \u200b \ufeff", "\\u202egnp.exe\\u2066 \\u200b \\ufeff"),
        ("\ud800 \U000e0041", "\\ud800 \\U000e0041"),
    ],
)
def test_what_acts_on_a_terminal_is_written_as_an_escape(text: str, shown: str) -> None:
    """Nothing else is touched; errors are so by themselves."""
    assert printable(text) == str(ConfigError(text)) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_printed(text: str) -> None:
    """In UTF-8, on one terminal, once and for all."""
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
    assert not any(character in shown for character in "\x1b\r\x00\x9b\u202e\u2028")


def test_tables_and_lines_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """All that subcommands print of others' text."""
    say("a\x1b[2Jb", Path("c\rd"))
    console().print("e\x07f")

    assert capsys.readouterr().out == "a\\x1b[2Jb\nc\\rd\ne\\x07f\n"


def test_help_in_any_encoding_and_to_a_pipe_that_is_closed() -> None:
    """No traceback; what the encoding lacks is an escape."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    found = subprocess.run([*COMMAND, "bisect", "--help"], env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert "A,B,\\u2026" in found.stdout

    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        closed = subprocess.run(
            [*COMMAND, "dev", "matrix"], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (closed.returncode, closed.stderr) == (141, "")


def test_a_full_disk_is_one_line() -> None:
    """What is printed goes to a file that cannot grow."""
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run([*COMMAND, "dev", "matrix"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stderr) == (1, "ERROR: output or a file: No space left on device\n")


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/\x1b"), 1, "ERROR: /x/\\x1b: No space left on device\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "ERROR: output or a file: No space left on device\n"),
        (ConfigError("a\x1b[2J"), 4, "ERROR: a\\x1b[2J\n"),
    ],
)
def test_an_interrupt_and_a_path_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, told: str
) -> None:
    """Of whichever subcommand."""

    def fail(_: object) -> int:
        raise error

    monkeypatch.setitem(subcommands.RUN, "cache", fail)
    assert main(["dev", "cache"]) == status
    assert capsys.readouterr().err == told


def test_a_mistake_of_ours_is_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError without a file is none of the user's."""

    def fail(_: object) -> int:
        raise OSError("odd")

    monkeypatch.setitem(subcommands.RUN, "cache", fail)
    with pytest.raises(OSError, match="odd"):
        main(["dev", "cache"])


def test_schema_is_written_to_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file and what is not there are named, with the option."""
    file = tmp_path / "file"
    file.write_text("")
    for words, told in (
        (["--configs", str(file)], f"--configs {file}: is no folder"),
        (["--configs", str(tmp_path), "--docs", str(tmp_path / "no")], f"--docs {tmp_path / 'no'}: no such folder"),
    ):
        assert main(["dev", "schema", *words]) == 4
        assert capsys.readouterr().err == f"ERROR: {told}\n"
    assert file.read_text() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
