"""The runtime inside a program: what it is built of, what it sends over a client of one's own, what it refuses."""

import asyncio
import json

import httpx
import msgspec
import pytest
import respx

from modeld import builder
from modeld.builder import ConfigInvalid, RuntimeBuilder
from modeld.providers.failure import ProviderFailure
from modeld_protocol.content import Message, TextBlock
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta
from modeld_protocol.model import Pricing
from modeld_protocol.request import Tool

pytestmark = pytest.mark.anyio

CHAT_URL = "https://llm.example.com/v1/chat/completions"
MESSAGES_URL = "https://api.anthropic.com/v1/messages"
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500},
}
MESSAGES = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Bonjour."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


def sse(*chunks: dict) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def chunk(text: str, finish: str | None = None) -> dict:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def streamed(texts: list[str]) -> httpx.Response:
    body = sse(*(chunk(text) for text in texts), chunk("", "stop"))
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


@pytest.fixture
async def client():
    async with httpx.AsyncClient() as made:
        with respx.mock:
            yield made


def local(client: httpx.AsyncClient) -> RuntimeBuilder:
    """A builder with one provider of one model, over `client`."""
    return (
        RuntimeBuilder()
        .with_provider("local", "openai-compatible", base_url="https://llm.example.com/v1", api_key="k3y-value")
        .with_model("local:small", wire_name="small-v2", aliases=["s"], pricing=Pricing(input=2.0, output=10.0))
        .with_http_client(client)
    )


# ---- calls


async def test_a_call_goes_over_the_given_client_with_the_given_key(client):
    route = respx.post(CHAT_URL).mock(return_value=httpx.Response(200, json=CHAT))
    async with local(client).build() as runtime:
        reply = await runtime.complete(model="s", messages="Hi", system_prompt="Be brief.", tools=[Tool("look")])
    assert reply.content == [TextBlock("Hello.")]
    assert (reply.model, reply.provider, reply.stop_reason) == ("local:small", "local", "end_turn")
    assert reply.cost is not None
    assert reply.cost.total_cost == pytest.approx(0.007)
    sent = route.calls.last.request
    body = json.loads(sent.content)
    assert sent.headers["authorization"] == "Bearer k3y-value"
    assert body["model"] == "small-v2"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["tools"][0]["function"]["name"] == "look"
    assert not client.is_closed


async def test_a_stream_gives_events_then_the_response(client):
    respx.post(CHAT_URL).mock(return_value=streamed(["Hel", "lo", "."]))
    async with local(client).build() as runtime, runtime.stream(model="local:small", messages=[Message("user", "Hi")]) as stream:
        events = [event async for event in stream]
        reply = await stream.response()
    assert [type(event) for event in events] == [MessageStart, TextDelta, TextDelta, TextDelta, MessageComplete]
    assert reply.content == [TextBlock("Hello.")] == events[-1].final_content


async def test_a_stream_may_be_awaited_without_its_events(client, monkeypatch):
    monkeypatch.setattr(builder, "MAX_WAITING_EVENTS", 2)
    respx.post(CHAT_URL).mock(return_value=streamed([f"{number} " for number in range(50)]))
    async with local(client).build() as runtime, runtime.stream(model="s", messages="Hi") as stream:
        reply = await asyncio.wait_for(stream.response(), 5)
    assert len(reply.content[0].text.split()) == 50


async def test_a_program_that_lags_holds_the_provider_back_and_loses_nothing(client, monkeypatch):
    monkeypatch.setattr(builder, "MAX_WAITING_EVENTS", 4)
    sent = 0

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):
            nonlocal sent
            for number in range(40):
                sent += 1
                yield b"data: %b\n\n" % json.dumps(chunk(f"{number} ")).encode()
                await asyncio.sleep(0)
            yield sse(chunk("", "stop"))

    respx.post(CHAT_URL).mock(return_value=httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body()))
    async with local(client).build() as runtime, runtime.stream(model="s", messages="Hi") as stream:
        while not sent:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent < 12  # what had been read when the fourth event came, and a read or two
        text = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
    assert text.split() == [str(number) for number in range(40)]


async def test_leaving_a_stream_early_closes_it_at_the_provider(client):
    closed = asyncio.Event()

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b"data: %b\n\n" % json.dumps(chunk("on and ")).encode()
                await asyncio.sleep(0.001)

        async def aclose(self):
            closed.set()

    respx.post(CHAT_URL).mock(return_value=httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless()))
    async with local(client).build() as runtime:
        async with runtime.stream(model="s", messages="Hi") as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_failure_comes_after_the_events_before_it(client):
    body = b"data: %b\n\n" % json.dumps(chunk("Half a")).encode() + b'data: {"error": {"message": "boom", "code": 500}}\n\n'
    respx.post(CHAT_URL).mock(return_value=httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body))
    seen = []

    async def consume(stream):
        async for event in stream:
            seen.append(event)  # noqa: PERF401 - a comprehension would lose them with the failure

    async with local(client).build() as runtime, runtime.stream(model="s", messages="Hi") as stream:
        with pytest.raises(ProviderFailure) as failure:
            await consume(stream)
    assert [type(event) for event in seen] == [MessageStart, TextDelta, MessageComplete]
    assert failure.value.partial.content == [TextBlock("Half a")]


async def test_retries_are_the_adapters_and_may_be_turned_off(client):
    busy = httpx.Response(429, headers={"retry-after": "0.01"}, json={"error": {"message": "slow down"}})
    route = respx.post(CHAT_URL).mock(side_effect=[busy, httpx.Response(200, json=CHAT), busy])
    async with local(client).build() as runtime:
        assert (await runtime.complete(model="s", messages="Hi")).metrics.attempts == 2
    async with local(client).with_retries(0).build() as runtime:
        with pytest.raises(ProviderFailure) as failure:
            await runtime.complete(model="s", messages="Hi")
    assert (failure.value.error_class, route.call_count) == ("rate_limit", 3)


async def test_a_request_without_a_model_gets_the_default_one(client):
    route = respx.post(CHAT_URL).mock(return_value=httpx.Response(200, json=CHAT))
    built = local(client).with_model("local:other", aliases=["o"]).with_default_model("o").build()
    async with built as runtime:
        assert (await runtime.complete(messages="Hi")).model == "local:other"
    assert json.loads(route.calls.last.request.content)["model"] == "other"


async def test_the_timeout_holds_for_every_call(client):
    async def silent(_request):
        await asyncio.Event().wait()

    respx.post(CHAT_URL).mock(side_effect=silent)
    async with local(client).with_timeout(0.05).with_retries(0).build() as runtime:
        with pytest.raises(ProviderFailure, match=r"did not answer for 0\.05 s"):
            await runtime.complete(model="s", messages="Hi")


# ---- keys


async def test_the_environments_keys_bring_their_providers_models(client):
    route = respx.post(MESSAGES_URL).mock(return_value=httpx.Response(200, json=MESSAGES))
    built = RuntimeBuilder().with_env_fallback({"ANTHROPIC_API_KEY": "env-key"}).with_http_client(client).build()
    async with built as runtime:
        assert {model.provider for model in runtime.models()} == {"anthropic"}
        assert (await runtime.complete(model="sonnet", messages="Hi")).content == [TextBlock("Bonjour.")]
        await runtime.complete(messages="Hi")  # the provider's default model
    assert {call.request.headers["x-api-key"] for call in route.calls} == {"env-key"}


async def test_without_a_key_the_call_says_what_to_set(client):
    async with RuntimeBuilder().with_env_fallback({}).with_http_client(client).build() as runtime:
        with pytest.raises(ProviderFailure, match="ANTHROPIC_API_KEY") as failure:
            await runtime.complete(model="sonnet", messages="Hi")
    assert failure.value.error_class == "not_configured"


async def test_the_process_environment_is_not_read_unless_asked_for(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "must-not-leave")
    async with RuntimeBuilder().with_provider("openai").with_http_client(client).build() as runtime:
        with pytest.raises(ProviderFailure) as failure:
            await runtime.complete(provider="openai", messages="Hi")
    assert failure.value.error_class == "not_configured"


async def test_a_config_file_and_what_is_added_to_it(client, tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(
        "adapters:\n  local: {type: openai-compatible, base_url: 'https://llm.example.com/v1', api_key_env: LOCAL_KEY}\n"
        "models:\n  local:small: {adapter: local}\ndefault_model: local:small\n"
    )
    route = respx.post(CHAT_URL).mock(return_value=httpx.Response(200, json=CHAT))
    made = RuntimeBuilder().with_env_fallback({"LOCAL_KEY": "file-key"}).with_config_file(file).with_model("local:large")
    async with made.with_http_client(client).build() as runtime:
        assert [model.id for model in runtime.models()] == ["local:small", "local:large"]
        await runtime.complete(messages="Hi")
        await runtime.complete(model="local:large", messages="Hi")
        assert runtime.estimate_tokens(messages="Hello there") > 0
    assert [json.loads(call.request.content)["model"] for call in route.calls] == ["small", "large"]
    assert route.calls.last.request.headers["authorization"] == "Bearer file-key"


# ---- what is refused

REFUSED = [
    (lambda made: made.with_provider("nobody"), "nobody is not a known adapter type; use one of: .*openai"),
    (lambda made: made.with_provider("a", "openai", tmeout_seconds=3), "there is no field tmeout_seconds; there are .*timeout"),
    (lambda made: made.with_provider("a", "openai", timeout_seconds="long"), "Expected `float`, got `str`"),
    (lambda made: made.with_provider("a", "openai", base_url="ftp://x").build(), "must begin with https:// or http://"),
    (lambda made: made.with_model("no-colon"), "write it like provider:name"),
    (lambda made: made.with_model("openai:x", wirename="y"), "there is no field wirename"),
    (lambda made: made.with_provider("openai").with_model("other:x").build(), "no adapter is called other"),
    (lambda made: made.with_model("openai:x", capabilities={"tools": "maybe"}, adapter="a").build(), "no adapter is called a"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_can_not_work_is_refused_while_building(build, message):
    with pytest.raises(ConfigInvalid, match=message):
        build(RuntimeBuilder())


def test_a_broken_config_file_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text("adapters:\n  a: {type: nonsense}\nmodels: 5\n")
    with pytest.raises(ConfigInvalid) as refused:
        RuntimeBuilder().with_config_file(file)
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == [f"{file}:2:13", f"{file}:3:9"]


async def test_a_request_is_checked_before_it_is_sent(client):
    async with local(client).build() as runtime:
        with pytest.raises(TypeError, match="there is no field mesages"):
            await runtime.complete(model="s", mesages="Hi")
        with pytest.raises(msgspec.ValidationError, match=r"\$\.temperature"):
            await runtime.complete(model="s", messages="Hi", temperature=9)
        with pytest.raises(ProviderFailure, match="no model is called nope"):
            await runtime.complete(model="nope", messages="Hi")
        with pytest.raises(RuntimeError, match="enter the stream first"):
            await runtime.stream(model="s", messages="Hi").response()
    assert not respx.calls


def test_a_key_is_nowhere_to_be_seen():
    made = RuntimeBuilder().with_provider("openai", api_key="s3cret-value", extra_headers={"x-token": "s3cret-value"})
    assert "s3cret-value" not in repr(vars(made))
