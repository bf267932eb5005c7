"""Base URLs: what is accepted, what is refused and why, and how paths are joined."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.upstream.contract import Origin
from modeld.upstream.guard import BaseUrl, InvalidBaseUrl, authority, join_target, parse_base_url


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://api.example.com", Origin("https", "api.example.com", 443), ""),
        ("https://api.example.com/", Origin("https", "api.example.com", 443), ""),
        ("https://API.Example.com:8443/v1/", Origin("https", "api.example.com", 8443), "/v1"),
        ("HTTP://127.0.0.1:8080/v1", Origin("http", "127.0.0.1", 8080), "/v1"),
        ("http://localhost:11434", Origin("http", "localhost", 11434), ""),
        ("http://[::1]:8080/a%20b", Origin("http", "::1", 8080), "/a%20b"),
        ("https://10.0.0.7", Origin("https", "10.0.0.7", 443), ""),
        ("https://my_host.local/x?api-version=1", Origin("https", "my_host.local", 443), "/x?api-version=1"),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443), ""),
    ],
)
def test_base_urls(url, origin, path):
    assert parse_base_url(url) == BaseUrl(origin, path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "https://"),
        ("api.example.com/v1", "https://"),
        ("ftp://api.example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("unix:///run/x.sock", "https://"),
        ("https://", "host"),
        ("https:///v1", "host"),
        ("https://user:hunter2@api.example.com", "api_key_env"),
        ("https://hunter2@api.example.com", "api_key_env"),
        ("https://api.example.com/#x", "fragment"),
        ("https://api.example.com/v1#", "fragment"),
        ("https://api.example .com", "space"),
        (" https://api.example.com", "space"),
        ("https://api.example.com\n", "space"),
        ("https://api.example.com\\@evil.example", "backslash"),
        ("https://api.example.com:0", "port"),
        ("https://api.example.com:99999", "port"),
        ("https://api.example.com:port", "port"),
        ("https://[::1", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://-bad.example", "host"),
        ("https://" + "a." * 200 + "example", "host"),
        ("https://api.example.com/ü", "percent"),
        ("https://%61pi.example.com", "host"),
    ],
)
def test_bad_base_urls_say_why_and_show_no_password(url, reason):
    with pytest.raises(InvalidBaseUrl, match=reason) as caught:
        parse_base_url(url)
    assert "hunter2" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20) | st.text("htps:/[]@#?%\\. 1a", max_size=20).map("https://".__add__))
def test_any_text_is_a_base_url_or_the_one_error(text):
    try:
        base = parse_base_url(text)
    except InvalidBaseUrl:
        return
    assert join_target(base.path, "/v1").startswith("/")
    assert parse_base_url(f"{base.origin.scheme}://{authority(base.origin)}").origin == base.origin


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://api.example.com", False),
        ("http://api.example.com", True),
        ("http://192.168.1.2:8080", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.9.9.9", False),
        ("http://localhost", False),
        ("http://me.localhost", False),
        ("http://[::1]", False),
        ("http://[::2]", True),
        ("http://127.0.0.1.evil.example", True),
        ("http://localhost.evil.example", True),
    ],
)
def test_is_plaintext_remote(url, plain):
    assert parse_base_url(url).is_plaintext_remote is plain


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("", "/chat/completions", "/chat/completions"),
        ("/v1", "/chat/completions", "/v1/chat/completions"),
        ("/v1/", "chat/completions", "/v1/chat/completions"),
        ("/v1", "", "/v1"),
        ("", "", "/"),
        ("/d/x?api-version=1", "/chat", "/d/x/chat?api-version=1"),
        ("/d?a=1", "/chat?alt=sse", "/d/chat?a=1&alt=sse"),
        ("/v1beta", "/models/g:streamGenerateContent?alt=sse", "/v1beta/models/g:streamGenerateContent?alt=sse"),
    ],
)
def test_join_target(base, path, target):
    assert join_target(base, path) == target


@pytest.mark.parametrize("path", ["/a b", "/a\r\nx: y", "/ü", "/a#b", "/\x00"])
def test_join_target_refuses_what_would_leave_the_request_line(path):
    with pytest.raises(InvalidBaseUrl):
        join_target("/v1", path)
