"""The address of a server, as YAML and command line name it: without anything that is secret."""

from urllib.parse import urlsplit

from npu_conformance.errors import ConfigError


def check_server(url: str, option: str = "--server") -> str:
    """An address that may stand in job files, logs and reports.

    Args:
        url: such as http://host:8000, with or without /v1.
        option: what messages call it.

    Raises:
        ConfigError: it is none, or holds a user name, a password, a query or a fragment, which no message repeats.
    """
    try:
        parts = urlsplit(url)
        there = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an open bracket, a port that is no number
        there = False
    # By its characters: what cannot be taken apart may hold a password too.
    if any(mark in url for mark in "@?#"):
        raise ConfigError(
            f"{option}: the address holds a user name, a password, a query or a fragment, which would be written into "
            "traces and reports: leave it out, and set the key in the environment as OPENAI_API_KEY"
        )
    if not there:
        raise ConfigError(f"{option} {url}: expected an address such as http://host:8000")
    return url
