"""Lines and files for a tree of others, as a patch that `git apply` takes; from the tree itself, or from a snapshot.

Where lines go is found by what stands around them. `vllm_ascend.json` has that of the snapshot that was read: a few
lines of context, so that a patch can be written where no tree is at hand.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from npu_conformance.errors import ConfigError
from npu_conformance.machine.provenance import commit

SNAPSHOT = Path(__file__).with_name("files") / "vllm_ascend.json"
_CONTEXT = 3
_FOLDERS = (
    "tests/e2e/models/configs",
    "tests/e2e/nightly/single_node/models/configs",
    "docs/source/tutorials/models",
)


class Place(NamedTuple):
    """Where lines go into a file."""

    path: str
    line: int
    """Lines before it."""
    before: list[str]
    """The last of these."""
    after: list[str]
    """Those that follow."""


class Tree(NamedTuple):
    """What is known of the tree."""

    commit: str
    places: dict[str, Place]
    files: frozenset[str]
    """Names in the folders into which a new model's files go."""


def _end(lines: Sequence[str]) -> int:
    return len(lines)


def _after(pattern: str, *, last: bool = False, start: str = "") -> Callable[[Sequence[str]], int]:
    """Behind the first or last line that matches, after the first that is `start`."""

    def find(lines: Sequence[str]) -> int:
        first = lines.index(start) if start else 0
        found = [at for at, line in enumerate(lines) if at >= first and re.match(pattern, line)]
        return found[-1 if last else 0] + 1

    return find


def _after_titles(lines: Sequence[str]) -> int:
    """Behind the last title of a model's tutorial, which may take several lines."""
    last = max(at for at, line in enumerate(lines) if line.startswith('    "tutorials/models/'))
    return next(at for at in range(last, len(lines)) if lines[at].endswith("},")) + 1


def _after_rows(lines: Sequence[str]) -> int:
    """Behind the last row of the first table of A2/A3, which is that of generative models of text."""
    start = lines.index('=== "A2/A3"')
    at = next(at for at in range(start, len(lines)) if lines[at].startswith("    |"))
    return next(place for place in range(at, len(lines)) if not lines[place].startswith("    |"))


_ANCHORS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "accuracy": ("tests/e2e/models/configs/accuracy.txt", _end),
    "nightly_accuracy": (".github/workflows/configs/nightly_config.yaml", _after(r"    pr_only:$", start="a2:")),
    "nightly_single": (
        ".github/workflows/configs/nightly_config.yaml",
        _after(r"      # YAML-driven tests$|    test_config:$", start="a2:"),
    ),
    "models": (".github/workflows/misc/model_dataset_list.json", _after(r'\s*"models": \[$')),
    "navigation": ("mkdocs.yml", _after(r"        - tutorials/models/", last=True)),
    "titles": ("docs/hooks/nav_titles.py", _after_titles),
    "supported": ("docs/source/user_guide/support_matrix/supported_models.md", _after_rows),
}
"""What is registered, in which file, and behind which line."""


def read_tree(folder: Path) -> Tree:
    """What is known of a checkout of vllm-ascend.

    Raises:
        ConfigError: it is none, or its files do not look as they did in the snapshot that was read.
    """
    places = {}
    for name, (path, find) in _ANCHORS.items():
        try:
            lines = (folder / path).read_text(encoding="utf-8").splitlines()
            at = find(lines)
        except (OSError, ValueError, IndexError, StopIteration) as error:
            raise ConfigError(
                f"--vllm-ascend {folder}: {path}: no place for {name} found ({type(error).__name__}): name a checkout "
                "of vllm-ascend, or leave the option out for the snapshot that the suite knows"
            ) from error
        places[name] = Place(path, at, lines[max(0, at - _CONTEXT) : at], lines[at : at + _CONTEXT])
    there = {path.name for one in _FOLDERS for path in (folder / one).glob("*")}
    known = commit(folder)
    return Tree(f"{known['commit']}" if known else "the tree at hand", places, frozenset(there))


def known_tree() -> Tree:
    """The snapshot that was read."""
    content = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    places = {name: Place(**one) for name, one in content["places"].items()}
    return Tree(content["commit"], places, frozenset(content["files"]))


def snapshot_text(tree: Tree) -> str:
    """What `vllm_ascend.json` says of a tree."""
    places = {name: one._asdict() for name, one in tree.places.items()}
    content = {"commit": tree.commit, "places": places, "files": sorted(tree.files)}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def patch(tree: Tree, files: Mapping[str, str], lines: Mapping[str, Sequence[str]], head: Sequence[str]) -> str:
    """A patch.

    Args:
        tree: that it is for.
        files: new ones, by path.
        lines: new ones, by the name of their place.
        head: lines before the first file, which `git apply` passes over.
    """
    found = [*head, ""]
    for path, text in files.items():
        found += _new_file(path, text.splitlines())
    by_file: dict[str, list[tuple[Place, Sequence[str]]]] = {}
    for name, added in lines.items():
        place = tree.places[name]
        by_file.setdefault(place.path, []).append((place, added))
    for path, hunks in by_file.items():
        found += [f"diff --git a/{path} b/{path}", f"--- a/{path}", f"+++ b/{path}"]
        found += _hunks(sorted(hunks, key=lambda one: one[0].line))
    return "\n".join(found) + "\n"


def _new_file(path: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"diff --git a/{path} b/{path}", "new file mode 100644", "--- /dev/null", f"+++ b/{path}")
    yield f"@@ -0,0 +1,{len(lines)} @@"
    yield from (f"+{line}" for line in lines)


def _hunks(hunks: Sequence[tuple[Place, Sequence[str]]]) -> Iterator[str]:
    moved = 0
    for place, added in hunks:
        old, start = len(place.before) + len(place.after), place.line - len(place.before) + 1
        yield f"@@ -{start},{old} +{start + moved},{old + len(added)} @@"
        yield from (f" {line}" for line in place.before)
        yield from (f"+{line}" for line in added)
        yield from (f" {line}" for line in place.after)
        moved += len(added)
