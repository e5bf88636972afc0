"""Regular expressions that a config brings: what is refused, and that a search ends."""

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from npu_conformance.config.patterns import Pattern, find
from npu_conformance.errors import TraceError

PATTERN = TypeAdapter(Pattern)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "not a regular expression: "),
        ("(?P<x>a{99999999999999})", "its counts in braces repeat more than 10,000 times together"),
        ("((((a{1000}){1000}){1000}){1000})", "its counts in braces"),
        ("(?P<x>a{1,1000}){1,1000}b", "its counts in braces"),
        ("(?P<x>(?R)?a)", "not a regular expression: "),
        ("(?:abc){e<=30}", "write { as \\{ where it is no count"),
        ("(" * 480 + ")" * 480, "not a regular expression: "),
        ("a" * 1001, "of 1001 characters, at most 1000"),
        (r"\p{L}+", "not a regular expression"),
    ],
)
def test_what_is_refused(pattern: str, told: str) -> None:
    """What needs more memory or time than there is, and what is none."""
    with pytest.raises(ValidationError, match=re.escape(told)):
        PATTERN.validate_python(pattern)


@pytest.mark.parametrize("pattern", ["(?P<x>(a+)+)$", "(?P<x>(a|aa)+)$", "(a{1,90}){1,90}(a{1})*c"])
def test_a_search_that_does_not_end_is_an_error(pattern: str) -> None:
    """Of the check that asked for it."""
    PATTERN.validate_python(pattern)
    began = time.monotonic()

    with pytest.raises(TraceError, match=r"found no end in 0\.5 s in an answer of 3001 characters"):
        find(pattern, "a" * 3000 + "!")

    assert time.monotonic() - began < 5


def test_what_matches_is_found() -> None:
    """Anywhere for labels; from the start, over lines, for a format."""
    found = find(r"Safety: (?P<safety>\w+)", "So.\nSafety: Unsafe")
    assert found is not None
    assert found["safety"] == "Unsafe"
    assert find("## Summary\n.+\n\n## More\n.+", "## Summary\na\nb\n\n## More\nc", "start") is not None
    assert find("b", "ab", "start") is None
    assert find(r"\{.*\}", '{"a": 1}', "start") is not None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            [
                r"a",
                r"b",
                r"(",
                r")",
                r"(?:",
                r"(?P<x>",
                r"(?=)",
                r"[",
                r"]",
                r"|",
                r"*",
                r"+",
                r"?",
                r"{2}",
                r"{9,}",
                r"{,99}",
                r"{",
                r"^",
                r"$",
                r"\b",
                r"\1",
                r"(?i)",
                r".",
                r"\d",
            ]
        ),
        max_size=14,
    ).map("".join)
    | st.text(max_size=20)
)
def test_any_pattern_is_refused_or_searched_in_time(pattern: str) -> None:
    """And finds what Python's own finds."""
    try:
        PATTERN.validate_python(pattern)
    except ValidationError:
        return
    try:
        found = find(pattern, "abab 12\nba")
    except TraceError:
        return
    theirs = re.search(pattern, "abab 12\nba")
    assert (found is None) == (theirs is None)
