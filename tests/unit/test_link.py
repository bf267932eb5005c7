"""An adapter's way out: paths below a base URL, headers of two sides."""

import pytest

from modeld.providers.link import merged_headers, path_below

PATHS = [
    ("", "/v1/messages", "/v1/messages"),
    ("/v1", "/v1/messages", "/messages"),
    ("/proxy/v1", "/v1/messages/count_tokens", "/messages/count_tokens"),
    ("/v1", "/chat/completions", "/chat/completions"),
    ("/chat", "/chat/completions", "/chat/completions"),
    ("/v1beta", "/v1/messages", "/v1/messages"),
]


@pytest.mark.parametrize(("base", "path", "wanted"), PATHS)
def test_a_version_stands_once(base: str, path: str, wanted: str) -> None:
    assert path_below(base, path) == wanted


HEADERS = [
    ((), {"a": "1"}, [("a", "1")]),
    ((("x-own", "2"),), {}, [("x-own", "2")]),
    ((("api-version", "mine"),), {"api-version": "wire"}, [("api-version", "mine")]),
    ((("vendor-beta", "b"),), {"Vendor-Beta": "a"}, [("vendor-beta", "a,b")]),
]


@pytest.mark.parametrize(("configured", "encoded", "wanted"), HEADERS)
def test_headers_of_both_sides(configured: tuple, encoded: dict, wanted: list) -> None:
    assert merged_headers(configured, encoded) == wanted
