"""Commands in the documents are ones that the suite takes, and links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from npu_conformance.__main__ import _parsed
from npu_conformance.commands.run import Word
from tests.unit.helpers.suite_runs import ROOT

PAGES = sorted(path for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "zh") for path in folder.glob("*.md"))
SHOWN = re.compile(
    r"^ {4,}(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:python -m )?(npu-conformance|pytest) (.+)$", re.MULTILINE
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
# Of pytest itself, and of xdist.
PYTESTS = {"--collect-only", "--durations", "--junitxml", "--exitfirst", "--last-failed", "--color", "--tb"}


def commands(program: str) -> list[tuple[str, str]]:
    """Pages, and what they show behind a program's name, without comments."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace(" \\\n", " ")
        for match in SHOWN.finditer(text):
            if match[1] == program:
                found.append((path.name, _first(match[2])))
    return found


def _first(words: str) -> str:
    """Without comments and what follows in a pipe; of a synopsis the options, and the first of each choice."""
    command = re.split(r"\s+# |\s&& | \| ", words)[0]
    return re.sub(r"[\[\]]| \.\.\.|(?<=\w)\|\S+", "", command).strip()


@pytest.mark.parametrize(("page", "words"), sorted(set(commands("npu-conformance"))))
def test_a_command_is_taken(page: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser, with its options."""
    try:
        _parsed([Word(word) for word in shlex.split(words)])
    except SystemExit as ended:
        pytest.fail(f"{page}: npu-conformance {words}: exit status {ended.code}: {capsys.readouterr().err}")


def test_options_of_a_run_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Of pytest with the suite's tests, which `run` takes too."""
    shown = {word.partition("=")[0] for _, words in commands("pytest") for word in words.split() if word[:2] == "--"}
    with pytest.raises(SystemExit):
        _parsed([Word("run"), Word("--help")])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) | PYTESTS

    assert len(shown) >= 10
    assert shown <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Of this repository."""
    for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        if heading and path.suffix == ".md":
            assert heading in _headings(path), f"{page.name}: {target}#{heading}"


def _headings(page: Path) -> set[str]:
    """As GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in found}


def test_the_files_that_contributing_names_are_there() -> None:
    """From the checkout's root, or the package's; `<Model>` and `*` stand for any name."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = sorted(set(re.findall(r"`([\w.]+/[\w/.<>*-]+)`", text)))
    missing = [
        path
        for path in named
        if not any(any(root.glob(re.sub(r"<\w+>", "*", path))) for root in (ROOT, ROOT / "src" / "npu_conformance"))
    ]

    assert len(named) > 60
    assert missing == []
