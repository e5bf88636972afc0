"""Files of a folder changed at random, mostly within their structure, so that readers get past the first line."""

import copy
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

_DEEP: Any = []
for _ in range(3000):
    _DEEP = [_DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 0.5, -0.0, 8.9, 1e308, float("nan"), float("inf"), -float("inf")),
    *(2**31, 2**40, 2**63, 2**64, -(2**63), 10**400),
    *(
        "",
        " ",
        "2",
        "-1",
        "nan",
        "None",
        "a/b",
        "../../etc/passwd",
        "/dev/zero",
        "\x00",
        "\x1b[31m",
        "\ud800",
        "𝔘",
        "e\u0301",
    ),
    *(
        "x" * 5000,
        "a\nb",
        "{{ x }}",
        "%s",
        "F32",
        "BF16",
        "Q9",
        "model.layers.99999999999.mlp.up_proj.weight",
        "(a+)+$",
    ),
    *([], {}, [None], [[]], [{}], {"": None}, [0, 0], [1, -1], [2**40, 2**40], ["a", 1], {"a": {"a": {"a": 1}}}),
)
"""Values that a file may have in place of another."""
_BYTES = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"{",
    b"[" * 5000,
    b"}",
    b'"',
    b"\\u0000",
    b"NaN",
    b"9" * 5000,
    b"- " * 300,
)
Path_ = tuple[Any, ...]


def mutate_folder(folder: Path, rng: Random, files: list[str]) -> list[str]:
    """Change one to three of a folder's files.

    Args:
        folder: whose files they are.
        rng: what is changed how.
        files: names to choose from, relative.

    Returns:
        What was done, a line each.
    """
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = folder / rng.choice(files)
        if path.is_file() and not path.is_symlink():
            how = _whole_file if rng.random() < 0.08 else _content
            done.append(f"{path.relative_to(folder)}: {how(path, rng)}")
    return done


def mutate_value(value: Any, rng: Random) -> Any:
    """A copy of JSON-able data with one to three places changed."""
    changed = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        _edit(changed, rng)
    return changed[0]


def _content(path: Path, rng: Random) -> str:
    if rng.random() < 0.25:
        return _raw(path, rng)
    try:
        structured = _STRUCTURED[path.suffix]
    except KeyError:
        return _raw(path, rng)
    try:
        structured(path, rng)
    except (ValueError, LookupError, TypeError, RecursionError, OverflowError, yaml.YAMLError, struct.error):
        return _raw(path, rng)
    return "structure"


def _json(path: Path, rng: Random) -> None:
    if rng.random() < 0.02:
        text = json.dumps(_deepened(json.loads(path.read_bytes()), rng))
    else:
        text = json.dumps(mutate_value(json.loads(path.read_bytes()), rng), ensure_ascii=rng.random() < 0.8)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _deepened(value: Any, rng: Random) -> Any:
    if isinstance(value, dict) and value:
        value[rng.choice(list(value))] = _DEEP[0] if rng.random() < 0.5 else [[[[{}] * 3] * 3] * 3] * 3
    return value


def _yaml(path: Path, rng: Random) -> None:
    content = mutate_value(yaml.safe_load(path.read_bytes()), rng)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="surrogatepass")


def _safetensors(path: Path, rng: Random) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    if rng.random() < 0.3:  # offsets, which decide what is read
        name = rng.choice([one for one in header if one != "__metadata__"])
        offsets = header[name]["data_offsets"]
        offsets[rng.randrange(2)] += rng.choice((-8, -1, 1, 2, 8, 1000, 2**40, -(2**40)))
    else:
        header = mutate_value(header, rng)
    text = json.dumps(header).encode()
    length = len(text) if rng.random() < 0.9 else rng.choice((0, 1, len(text) - 1, len(text) + 1, 2**40, 2**63))
    path.write_bytes(struct.pack("<Q", length) + text + content[8 + struct.unpack("<Q", content[:8])[0] :])


_STRUCTURED: dict[str, Callable[[Path, Random], None]] = {".json": _json, ".yaml": _yaml, ".safetensors": _safetensors}


def _edit(root: list[Any], rng: Random) -> None:
    """Change one place of what `root` holds alone."""
    holder, key = rng.choice(list(_places(root)))
    others = list(_places(root[0]))
    act = rng.randrange(6)
    if act == 0 and holder is not root:
        del holder[key]
    elif act == 1 and others:
        other, there = rng.choice(others)
        holder[key] = copy.deepcopy(other[there])
    elif act == 2 and isinstance(holder, dict):
        names = [f"{key}x", str(key).upper(), "", "text_config", rng.choice(list(holder))]
        holder[rng.choice(names)] = holder.pop(key)
    elif act == 3 and isinstance(holder, list) and len(holder) < 1000:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif act == 4 and isinstance(holder[key], (int, float)) and abs(holder[key]) < 1e9:
        holder[key] = rng.choice(
            (holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 2, str(holder[key]), [holder[key]])
        )
    else:
        holder[key] = copy.deepcopy(rng.choice(HOSTILE))


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
    for key in keys:
        yield holder, key
        yield from _places(holder[key])


def _raw(path: Path, rng: Random) -> str:
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content) + 1)
    act = rng.randrange(5)
    if act == 0:
        del content[place:]
    elif act == 1:
        content[place:place] = rng.choice(_BYTES)
    elif act == 2:
        del content[place : place + rng.randrange(1, 30)]
    elif act == 3:
        content[place : place + 20] = content[: rng.randrange(40)]
    else:
        for _ in range(rng.randrange(1, 9)):
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)
    return f"bytes, {('cut', 'inserted', 'removed', 'copied', 'changed')[act]} at {place}"


def _whole_file(path: Path, rng: Random) -> str:
    act = rng.randrange(6)
    if act == 5:
        shutil.copyfile(path, path.with_name(f"{path.stem}-2{path.suffix}"))
        return "a copy beside it"
    path.unlink()
    if act == 0:
        path.write_bytes(b"")
    elif act == 1:
        path.mkdir()
    elif act == 2:
        path.symlink_to(path)
    elif act == 3:
        os.mkfifo(path)
    return ("emptied", "made a folder", "a link to itself", "a pipe", "removed")[act]
