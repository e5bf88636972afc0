"""Reading YAML: what two readers would take for different things is refused, and nothing is large or endless."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from npu_conformance.config.yaml_loader import read_yaml
from npu_conformance.errors import ConfigError

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 9)}]\n" for at in range(12)
)
MERGES = "m0: &m0 {k: 1}\n" + "".join(f"m{at + 1}: &m{at + 1} {{<<: [*m{at}, *m{at}]}}\n" for at in range(40))


def read(folder: Path, text: str | bytes) -> Any:
    """What is read of a file."""
    path = folder / "Model.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 010", "line 1: 010: readers of YAML take this for different things"),
        (
            "a:\n  b: 1:30",
            "line 2: 1:30: readers of YAML take this for different things, such as text, a number, or "
            'true and false; write "1:30" for text',
        ),
        ("a: yes", "yes: readers of YAML"),
        ("off: 1", "off: readers of YAML"),
        ("a: [1_000]", "1_000: readers of YAML"),
        ("a: 0x1F", "0x1F: readers of YAML"),
        ("a: 2026-11-27", "2026-11-27: readers of YAML"),
        ("a: .nan", ".nan: readers of YAML"),
        ("a: -.inf", "-.inf: readers of YAML"),
        ("a: 1e999", "'1e999': expected a finite number of at most 64 bits"),
        ("a: " + "9" * 5000, "expected a finite number of at most 64 bits"),
        ("a: !!int " + "9" * 5000, "expected a finite number of at most 64 bits"),
        ("a: !!bool maybe", "'maybe': expected true or false"),
        ("a: !!binary aGk=", "tag '!!binary': a config has none"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
        ("1: a", "'1': expected a key that is text; write it in quotes"),
        ("? [a]\n: 1", "a list or mapping: expected a key that is text"),
        ("a: &a [*a]", "*a stands inside what it names"),
        ("a: " + "[" * 5000, "more than 40 lists and mappings inside one another"),
        ("- " * 5000, "more than 40 lists and mappings inside one another"),
        (BOMB, "more than 50,000 values, those of an alias counted each time"),
        (MERGES, "more than 50,000 values, those of an alias counted each time"),
        ("<<: 3", "expected a mapping or list of mappings for merging"),
        ('a: "\\ud800"', "'\\ud800' in a text: control characters and halves of letters are refused"),
        ('a: "\\e[2J"', "'\\x1b' in a text: control characters"),
        ("# 模型\na: 1".encode("gbk"), "byte 5 is not UTF-8 text: save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "byte 1 is not UTF-8 text: save the file as UTF-8"),
        ("模" * 2**20, "is larger than 1 MiB"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    """In one line that names file and line."""
    with pytest.raises(ConfigError, match=re.escape(told)) as raised:
        read(tmp_path, text)

    assert str(raised.value).startswith(f"{tmp_path / 'Model.yaml'}: ")
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: 1e-3\nb: 2.5E4\nc: .5\nd: -0", {"a": 0.001, "b": 25000.0, "c": 0.5, "d": 0}),
        ("a: true\nb: False\nc: ~\nd:\n", {"a": True, "b": False, "c": None, "d": None}),
        ("a: '010'\nb: \"yes\"\nc: !!str 1:30", {"a": "010", "b": "yes", "c": "1:30"}),
        ("a: 9223372036854775807", {"a": 2**63 - 1}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}}),
        (
            "x: &x {a: 1}\ny: &y {<<: *x, c: 1}\nz: {<<: *y, c: 2}",
            {"x": {"a": 1}, "y": {"a": 1, "c": 1}, "z": {"a": 1, "c": 2}},
        ),
        ("a: &a [1]\nb: *a", {"a": [1], "b": [1]}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("", None),
    ],
)
def test_what_is_read(tmp_path: Path, text: str, content: Any) -> None:
    """Merge keys and aliases too."""
    assert read(tmp_path, text) == content


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "missing"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    """A pipe would wait for ever, a device has no end."""
    path = tmp_path / "Model.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.symlink_to("/dev/zero" if kind == "device" else path)

    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(path)


WORDS = st.sampled_from(
    [
        "a",
        "b:",
        "-",
        "?",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "&",
        "*",
        "!",
        "|",
        ">",
        "'",
        '"',
        "%",
        "@",
        "`",
        "#",
        "~",
        "<<",
        "<<:",
        "&a",
        "*a",
        "!!int",
        "!!float",
        "!!str",
        "!!set",
        "0",
        "010",
        "1:30",
        "yes",
        "no",
        "on",
        ".nan",
        "-.inf",
        "1e9",
        "1e999",
        "1_0",
        "0x1",
        "true",
        "null",
        "2026-01-01",
        "2026-99-99",
        "=",
        "\n",
        "\n",
        "\t",
        "---",
        "...",
        "\\",
        "\\x",
        "\\ud800",
        "é",
        "中",
    ]
)


@SETTINGS
@given(st.lists(WORDS, max_size=25).map(" ".join) | st.text(max_size=60) | st.binary(max_size=60))
@example("a: !!float ")
def test_any_text_is_read_alike_or_refused(tmp_path: Path, text: str | bytes) -> None:
    """Whatever is read is what PyYAML reads, but for numbers such as `1e9`, which it takes for text."""
    try:
        content = read(tmp_path, text)
    except ConfigError as error:
        told = str(error)
    else:
        written, told = (tmp_path / "Model.yaml").read_text(encoding="utf-8-sig"), ""
        assert content == yaml.safe_load(written) or re.search("[0-9.][eE][0-9+-]", written)
    assert len(told.splitlines()) <= 1


@SETTINGS
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abno01", min_size=1, max_size=3), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_what_other_programs_write_is_read_back(tmp_path: Path, content: Any) -> None:
    """All that YAML quotes where it must; in any of its styles."""
    for style in (None, True):
        assert read(tmp_path, yaml.safe_dump(content, default_flow_style=style, allow_unicode=True)) == content
