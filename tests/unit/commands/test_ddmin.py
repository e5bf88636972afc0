"""The smallest set of features that still fails, and how few engines it takes to find."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npu_conformance.commands.bisect.ddmin import smallest_failing

NAMES = tuple("abcdefg")


class Engines:
    """Says which combinations fail, and remembers what it was asked."""

    def __init__(self, fails: Callable[[frozenset[str]], bool]) -> None:
        self._fails = fails
        self.asked: list[frozenset[str]] = []

    def __call__(self, subset: frozenset[str]) -> bool:
        """Whether it fails."""
        self.asked.append(subset)
        return self._fails(subset)


def needing(*guilty: str) -> Engines:
    """Engines that fail where all of these are on."""
    return Engines(lambda subset: subset >= set(guilty))


@pytest.mark.parametrize(
    ("features", "guilty"),
    [
        ("abcde", "a"),
        ("abcde", "c"),
        ("abcde", "e"),
        ("abcdef", "af"),
        ("abcdef", "cd"),
        ("abcde", "abcde"),
        ("ab", "ab"),
        ("a", "a"),
    ],
)
def test_exactly_what_is_guilty_is_left(features: str, guilty: str) -> None:
    """One feature alone, two that fail only together, all of them, and a set that is already minimal."""
    assert smallest_failing(list(features), needing(*guilty)) == set(guilty)


def test_one_feature_needs_no_engine() -> None:
    """That the whole set fails is known."""
    engines = needing("a")
    smallest_failing(["a"], engines)

    assert engines.asked == []


def test_sets_are_cut_in_the_order_they_were_given_in() -> None:
    """First the first half, then the second; the halves of what is left next."""
    engines = needing("b")
    smallest_failing(["d", "b", "a", "c"], engines)

    assert engines.asked == [{"d", "b"}, {"d"}, {"b"}]


def test_the_known_cost_of_two_that_fail_together() -> None:
    """Halves, quarters, all but a quarter; of the three that are left all but one, and no half that is known."""
    engines = needing("a", "d")

    assert smallest_failing(["a", "b", "c", "d"], engines) == {"a", "d"}
    asked = ["".join(sorted(subset)) for subset in engines.asked]
    assert asked == ["ab", "cd", "a", "b", "c", "d", "bcd", "acd", "ad"]


def judged(features: Sequence[str], fails: Callable[[frozenset[str]], bool]) -> tuple[frozenset[str], Engines]:
    """The result, and the engines that were asked; what holds of every search is held here."""
    engines = Engines(fails)
    found = smallest_failing(features, engines)
    assert len(engines.asked) == len(set(engines.asked)), "a combination was asked twice"
    assert len(engines.asked) <= 2 ** len(features) - 2, "trying all would have been cheaper"
    assert all(frozenset() < subset < frozenset(features) for subset in engines.asked)
    return found, engines


@given(st.permutations(NAMES), st.integers(1, len(NAMES)), st.data())
def test_any_guilty_set_is_found_exactly(names: list[str], count: int, data: st.DataObject) -> None:
    """Where a combination fails as soon as all guilty features are on, in whatever order they are given."""
    features = names[:count]
    guilty = data.draw(st.sets(st.sampled_from(features), min_size=1))
    found, _ = judged(features, lambda subset: subset >= guilty)

    assert found == guilty


@given(st.integers(1, 5), st.sets(st.frozensets(st.sampled_from(NAMES[:5]), min_size=1)))
def test_what_is_left_fails_and_nothing_can_be_left_out(count: int, failing: set[frozenset[str]]) -> None:
    """Also where features hide each other, so that a larger set may hold while a smaller one fails."""
    features = list(NAMES[:count])
    found, _ = judged(features, lambda subset: subset in failing)

    assert found == frozenset(features) or found in failing
    assert not any(found - {feature} in failing for feature in found)
