"""Formats are modules that nothing else names, one a side."""

from npu_conformance.audit.formats import Format, formats
from npu_conformance.conversion.formats import find_of, methods


def test_each_format_is_converted_and_read_a_second_time() -> None:
    """A converter that nobody checks would be its own witness."""
    assert {"fp8", "gptq"} <= set(methods())
    assert set(methods()) <= set(formats())  # what is read and not converted has its own tests
    for name in methods():
        assert callable(find_of(name))
        asked = [each for each in vars(Format) if not each.startswith("_")]
        assert [each for each in asked if not callable(getattr(formats()[name], each, None))] == []
