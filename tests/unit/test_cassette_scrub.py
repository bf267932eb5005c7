"""What a cassette must not hold is taken out, stays out, and nothing else changes."""

import base64
import json

import pytest

from modeld.cassettes.leaks import find_leaks
from modeld.cassettes.scrub import Scrubber, scrubbed_chunks
from modeld.credentials.redact import Redactor

HOMES, USERS = "/home".join(("", "/")), "/Users".join(("", "/"))
KEY = "sk-ant-api03-canary-0123456789abcdef"
PLAIN_KEY = "tide-4711-canary-of-no-known-form"
SCRUBBER = Scrubber(Redactor([KEY, PLAIN_KEY]), ["mdoe", "tidebook", "root"])


def scrubbed(text: str) -> str:
    return SCRUBBER.text(text.encode()).data.decode()


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        PLAIN_KEY,
        base64.b64encode(PLAIN_KEY.encode()).decode(),
        "sk-proj-AbCdEfGhIjKl",
        "gsk_abcdefghijklmnop",
        "ghp_abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdef",
        "AIzaSyA-abcdefghijklmnopqrst",
        "jane.doe@corp.example.co.uk",
        "org-AbCdEfGh1234",
        "req_011CQabcdefgh",
        "chatcmpl-9HpyGSWv1hoKdGaU",
        "msg_01XFDUDYJgAACzvnptvVoYEL",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        f"{HOMES}jdoe",
        f"{USERS}jdoe",
        "mdoe",
        "tidebook",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "before {} after", '{{"text":"{}"}}', 'data: {{"a":["{}"]}}\n\n', "https://x.example/?a={}"]
)
def test_what_is_secret_goes(secret: str, around: str) -> None:
    text = around.format(secret)
    clean = scrubbed(text)
    assert secret not in clean
    assert scrubbed(clean) == clean
    assert not [leak for leak in find_leaks(clean, ["x.example"]) if leak.kind != "host"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("organization", "Tide and Sons"),
        ("organization_id", "1234"),
        ("org_id", "o-1"),
        ("account_name", "Jane"),
        ("user_id", "user_2x"),
        ("email", "jane at home"),
        ("request_id", "0193-tide"),
        ("api_key", "hunter2"),
        ("x-api-key", "hunter2"),
        ("access_token", "t0k3n"),
        ("client_secret", "s3cr3t"),
        ("authorization", "Basic amFuZTpo"),
        ("safety_identifier", "jane"),
    ],
)
def test_members_that_are_known_by_name(name: str, value: str) -> None:
    clean = json.loads(scrubbed(json.dumps({name: value, "kept": "kept"})))
    assert clean[name] != value
    assert clean["kept"] == "kept"


@pytest.mark.parametrize(
    "text",
    [
        '{"role":"user","content":"Who is the user? What is an organization?"}',
        '{"id":"call_AbCdEfGhIjKlMnOp","name":"tide_table","arguments":"{\\"harbour\\":\\"Emden\\"}"}',
        '{"id":"toolu_01A09q90qw90lq917835lq9"}',
        '{"model":"claude-sonnet-4-5-20250929","usage":{"total_tokens":12}}',
        '{"signature":"EqQBCkYIBxgCIkAreq_0123456789sk-abcdefghijklmnop0123456789ABCDEFGHIJKL=="}',
        '{"encrypted_content":"gAAAAABmsg_0123456789abcdefghijABCDEFGHIJ0123456789"}',
        "a message, a request, a response, a generation",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_a_live_key_goes_even_out_of_opaque_state() -> None:
    assert PLAIN_KEY not in scrubbed(json.dumps({"signature": PLAIN_KEY}))
    assert SCRUBBER.knows_in(f"the key is {PLAIN_KEY}")
    assert not SCRUBBER.knows_in("there is sk-proj-AbCdEfGhIjKl, which is nobody's")


def test_one_thing_has_one_name() -> None:
    """An id that comes back in a later request is the same there."""
    one, two = scrubbed("msg_01XFDUDYJgAACzvnptvVoYEL"), scrubbed('{"id":"msg_01XFDUDYJgAACzvnptvVoYEL"}')
    assert one in two
    assert one != scrubbed("msg_01XFDUDYJgAACzvnptvVoYEM")


def test_headers_are_few_and_say_nothing() -> None:
    given = {
        "Content-Type": "text/event-stream",
        "Authorization": f"Bearer {KEY}",
        "Set-Cookie": "session=abc",
        "openai-organization": "tide",
        "x-request-id": "req_123456789",
        "retry-after": "3",
        "some-version": "2026-01-01",
        "some-beta": "a,b",
        "x-ratelimit-reset-tokens": "1s",
        "x-ratelimit-limit-tokens": "30000",
        "cf-ray": "8f",
    }
    kept = SCRUBBER.headers(given)
    assert kept.pop("x-request-id").startswith("cassette")
    assert kept == {
        "content-type": "text/event-stream",
        "retry-after": "3",
        "some-beta": "a,b",
        "some-version": "2026-01-01",
        "x-ratelimit-reset-tokens": "1s",
    }
    assert SCRUBBER.headers(SCRUBBER.headers(given)) == SCRUBBER.headers(given)


def test_bytes_that_are_no_text_pass() -> None:
    data = b"\xff\xfe \x80" + KEY.encode() + b"\xc3"
    assert SCRUBBER.text(data).data == b"\xff\xfe \x80[redacted]\xc3"


def test_chunks_stay_where_they_were() -> None:
    """A cut through a secret is behind it afterwards; every other one is at the same words."""
    pieces = [
        b'data: {"t":"one"}\n\n',
        b'data: {"key":"' + KEY[:9].encode(),
        KEY[9:].encode() + b'", "u":"m',
        b'doe"}\n\ndata: end\n\n',
    ]
    clean = SCRUBBER.text(b"".join(pieces))
    chunks = scrubbed_chunks([(len(piece), float(at)) for at, piece in enumerate(pieces)], clean)
    assert sum(size for size, _ in chunks) == len(clean.data)
    assert [at for _, at in chunks] == [0.0, 1.0, 2.0, 3.0]
    assert clean.data[: chunks[0][0]] == pieces[0]
    second = clean.data[chunks[0][0] :][: chunks[1][0]]
    assert second == b'data: {"key":"[redacted]'
    assert clean.data.endswith(b'", "u":"user"}\n\ndata: end\n\n')


def test_a_chunk_that_was_all_secret_is_gone() -> None:
    clean = SCRUBBER.text(b"a " + KEY.encode() + b" b")
    assert scrubbed_chunks([(5, 0.0), (10, 1.0), (len(KEY) - 11, 2.0)], clean) == [(12, 0.0), (2, 2.0)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sk-proj-AbCdEfGhIjKl", "key"),
        ("Authorization: Bearer abcdefghijklmnop", "key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "key"),
        ("Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFla", "opaque"),
        ("d41d8cd98f00b204e9800998ecf8427e", "opaque"),
        ("write to jane@corp.com", "email"),
        ("see https://wiki.corp.internal/x", "host"),
        ("see wiki.corp.internal", "host"),
        ("api.unknown-host.com", "host"),
        (f"{HOMES}jane/notes", "home"),
        ("10.11.12.13", "address"),
        ('{"set-cookie":"a=b"}', "cookie"),
    ],
)
def test_leaks_are_found(text: str, kind: str) -> None:
    assert kind in {leak.kind for leak in find_leaks(text)}


@pytest.mark.parametrize(
    "text",
    [
        f"https://api.example.com/v1 and http://127.0.0.1:8378/openai and someone@example.com in {HOMES}user",
        '{"signature":"Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFla"}',
        '{"url":"data:image/png;base64,Zm9vYmFyMTIzNDU2Nzg5MEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFla"}',
        "claude-sonnet-4-5-20250929-with-a-name-that-is-very-long-indeed",
        "version 1.2.3 of README.md, at 12.5 seconds; object.method() and a.com() too",
        "https://docs.provider.test/guide",
    ],
)
def test_harmless_words_are_no_leaks(text: str) -> None:
    assert find_leaks(text, ["provider.test"]) == []


def test_a_leak_is_not_told() -> None:
    (leak,) = find_leaks("sk-proj-AbCdEfGhIjKl")
    assert leak.hint == "sk-pro… (20 characters)"
