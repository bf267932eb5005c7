"""Google's SDK against the simulator: what it reads is what the script says, what it raises is what the fault means."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import jsonschema
import pytest
from google import genai
from google.genai import errors, types

from modeld.simulator import RefusalStep, Script, Simulator, SimUsage, TextStep, ThinkingStep, ToolCallStep

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}
TOOLS: Any = [{"function_declarations": [{"name": name, "parameters_json_schema": SCHEMA} for name in ("weather", "forecast")]}]
USAGE = SimUsage(input=11, output=7, cached=5, cache_write=3, reasoning=2)
CALL = ToolCallStep("weather", {"city": "Zürich", "days": 3, "nested": {"a": [1, None]}})
SCRIPTS: dict[str, tuple[Script, str]] = {
    "text": (Script(["Hello there."], usage=USAGE), "STOP"),
    "text in odd pieces": (Script([TextStep(["", "a", "😀", '"\\', "\n\n"])], usage=USAGE), "STOP"),
    "repeated": (Script(["Again. "], repeat=3, usage=USAGE), "STOP"),
    "thinking": (Script([ThinkingStep("Let me think."), TextStep("Done.")], usage=USAGE), "STOP"),
    "tool": (Script([TextStep("Look:"), CALL], usage=USAGE), "STOP"),
    "tool without arguments": (Script([ToolCallStep("weather")], usage=USAGE), "STOP"),
    "tools": (Script([CALL, ToolCallStep("forecast", {"days": 1})], usage=USAGE), "STOP"),
    "refusal": (Script([RefusalStep("No.", "cyber")], usage=USAGE), "PROHIBITED_CONTENT"),
    "content filter": (Script(["Cut"], stop="content_filter", usage=USAGE), "SAFETY"),
    "max tokens": (Script(["Cut"], stop="max_tokens", usage=USAGE), "MAX_TOKENS"),
    "stop sequence": (Script(["Cut"], stop="stop_sequence", stop_sequence="END", usage=USAGE), "STOP"),
    "pause": (Script(["Wait"], stop="pause", usage=USAGE), "CONTINUATION"),
    "empty": (Script(usage=USAGE), "STOP"),
    "batched": (Script(["A few words in one write."], batch=100, usage=USAGE), "STOP"),
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def gemini(sim: Simulator) -> AsyncIterator[genai.Client]:
    client = genai.Client(api_key="sim-key", http_options=types.HttpOptions(base_url=sim.base_url, timeout=20_000))
    yield client
    await client.aio.aclose()


async def ask(
    client: genai.Client, *, stream: bool, model: str = "sim-text", contents: Any = "Hi?", **more: Any
) -> dict[str, Any]:
    asked: Any = {"model": model, "contents": contents, "config": {"automatic_continuation": False, **more}}
    if stream:
        chunks = [chunk async for chunk in await client.aio.models.generate_content_stream(**asked)]
    else:
        chunks = [await client.aio.models.generate_content(**asked)]
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or []]
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or []]
    usage = chunks[-1].usage_metadata
    return {
        "thinking": "".join(part.text or "" for part in parts if part.thought),
        "text": "".join(part.text or "" for part in parts if not part.thought),
        "tools": [(part.function_call.name, part.function_call.args) for part in parts if part.function_call],
        "signed": [bool(part.thought_signature) for part in parts if part.function_call],
        "stop": candidates[-1].finish_reason and candidates[-1].finish_reason.value,
        "usage": usage and counts(usage),
        "parts": parts,
    }


def counts(usage: Any) -> tuple[int, ...]:
    cached, thoughts = usage.cached_content_token_count or 0, usage.thoughts_token_count or 0
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count + thoughts
    return usage.prompt_token_count - cached, usage.candidates_token_count + thoughts, cached, thoughts


def text_of(script: Script, kind: type) -> str:
    return "".join("".join(step.chunks()) for step in script.plain_steps() if isinstance(step, kind))  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_gemini_reads_the_script(name: str, stream: bool, sim: Simulator, gemini: genai.Client) -> None:
    script, finish = SCRIPTS[name]
    sim.push(script)
    read = await ask(gemini, stream=stream)
    steps = list(script.plain_steps())
    calls = [step for step in steps if isinstance(step, ToolCallStep)]
    del read["parts"]
    assert read == {
        "thinking": text_of(script, ThinkingStep),
        "text": text_of(script, TextStep),
        "tools": [(step.name, step.input) for step in calls],
        "signed": [number == 0 for number in range(len(calls))],
        "stop": finish,
        "usage": (14, 7, 5, 2),  # this wire has no count of cache writes; they are part of the prompt
    }


async def test_models_and_counts(sim: Simulator, gemini: genai.Client) -> None:
    listed = [model.name async for model in await gemini.aio.models.list(config={"page_size": 7})]
    assert {"models/sim-echo", "models/sim-fault-rate_limit"} < set(listed)
    assert len(listed) == len(set(listed)) > 7
    assert (await gemini.aio.models.get(model="sim-echo")).output_token_limit == 65_536
    counted = await gemini.aio.models.count_tokens(model="sim-text", contents="Hi?")
    assert counted.total_tokens == (await ask(gemini, stream=True))["usage"][0] > 0
    assert sim.requests[0].header("x-goog-api-key") == "sim-key"
    assert not any("key=" in request.path for request in sim.requests)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_goes_round_with_its_signatures(stream: bool, gemini: genai.Client) -> None:
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="What is the weather?")])]
    rounds = 0
    while (read := await ask(gemini, stream=stream, model="sim-agent-3", contents=contents, tools=TOOLS))["tools"]:
        rounds += 1
        said = [part for part in read["parts"] if part.text or part.function_call]
        call = said[-1].function_call
        result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "sunny"})
        contents.append(types.Content(role="model", parts=said))
        contents.append(types.Content(role="user", parts=[types.Part(function_response=result)]))
    assert (rounds, read["stop"]) == (3, "STOP")
    signed = contents[1].parts[-1]
    signed.function_call.args = {"city": "elsewhere"}
    with pytest.raises(errors.ClientError, match="Thought signature is not valid"):
        await ask(gemini, stream=stream, model="sim-agent-3", contents=contents, tools=TOOLS)
    signed.thought_signature = None
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        await ask(gemini, stream=stream, model="sim-agent-3", contents=contents, tools=TOOLS)


@pytest.mark.parametrize("stream", [False, True])
async def test_structured_answers_obey_the_schema(stream: bool, gemini: genai.Client) -> None:
    form: Any = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
    read = await ask(gemini, stream=stream, model="sim-structured", **form)
    jsonschema.validate(json.loads(read["text"]), SCHEMA)


# ---- errors

FAULTS: dict[str, type[Exception]] = {
    **dict.fromkeys(("rate_limit", "bad_request", "auth", "forbidden", "not_found"), errors.ClientError),
    **dict.fromkeys(("unprocessable", "context_overflow", "retry_after_hostile", "echo_key"), errors.ClientError),
    **dict.fromkeys(("overloaded", "server_error", "html_502"), errors.ServerError),
    **dict.fromkeys(("reset_before_headers", "close_before_headers"), httpx2.TransportError),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_sdk_raises_what_the_fault_means(fault: str, stream: bool, gemini: genai.Client) -> None:
    with pytest.raises(FAULTS[fault]):
        await ask(gemini, stream=stream, model=f"sim-fault-{fault}")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error_event_first", errors.ServerError),
        ("error_event_mid_stream", errors.ServerError),
        ("reset_mid_stream", httpx2.TransportError),
        ("close_mid_stream", httpx2.TransportError),
        ("garbage_200", errors.UnknownApiResponseError),
    ],
)
async def test_streams_that_break_raise(fault: str, error: type[Exception], gemini: genai.Client) -> None:
    with pytest.raises(error):
        await ask(gemini, stream=True, model=f"sim-fault-{fault}")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["crlf", "split_every_byte", "duplicate_finish", "slow_drip-0.01"])
async def test_oddities_that_change_nothing(fault: str, stream: bool, sim: Simulator, gemini: genai.Client) -> None:
    steps: Any = [TextStep("Some words."), ToolCallStep("weather", {"city": "Oslo", "days": 1}, id="fc_1")]
    sim.push(Script(steps, usage=USAGE))
    clean = await ask(gemini, stream=stream)
    sim.push(Script(steps, usage=USAGE, fault=fault))
    read = await ask(gemini, stream=stream)
    if fault == "duplicate_finish" and stream:
        read["parts"].pop()
    assert read == clean


async def test_a_stream_without_sse_is_one_array(sim: Simulator) -> None:
    sim.push(Script([ThinkingStep("Let me think."), TextStep("Done."), CALL]))
    url = f"{sim.base_url}/v1beta/models/sim-text:streamGenerateContent"
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(url, json={"contents": [ASKED]}, headers={"x-goog-api-key": "k"})
    assert response.headers["content-type"] == "application/json"
    assert len(response.json()) > 4


# ---- what the real API refuses

GEMINI_CALL = {"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"}
RESULT = {"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}
ASKED = {"role": "user", "parts": [{"text": "Hi"}]}
CALLED = {"role": "model", "parts": [GEMINI_CALL]}
UNSIGNED = {"role": "model", "parts": [{"functionCall": {"name": "weather"}}]}
OTHER = {"role": "user", "parts": [{"functionResponse": {"name": "other", "response": {}}}]}
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"contents": []}, "contents is not specified"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "Please use a valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "contents.parts must not be empty"),
    ({"contents": [{"role": "user", "parts": [{"txt": "x"}]}]}, "must have one initialized field"),
    ({"contents": [ASKED, CALLED]}, "followed by a function response turn"),
    ({"contents": [ASKED, CALLED, ASKED]}, "number of function response parts"),
    ({"contents": [ASKED, {"role": "user", "parts": [RESULT]}]}, "number of function response parts"),
    ({"contents": [ASKED, UNSIGNED, ASKED]}, "thought_signature"),
    ({"contents": [ASKED, CALLED, OTHER]}, "does not match the call"),
    ({"max_tokens": 5}, 'Unknown name "max_tokens"'),
    ({"generationConfig": {"max_tokens": 5}}, "Cannot find field"),
    ({"generationConfig": {"temperature": 3}}, "must be in the range"),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}}, "only one of thinking budget"),
    ({"generationConfig": {"responseJsonSchema": SCHEMA}}, "requires response_mime_type"),
    ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
    ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "no function declarations"),
    ({"cachedContent": "cachedContents/x", "systemInstruction": {"parts": [{"text": "x"}]}}, "CachedContent can not be used"),
]


@pytest.mark.parametrize(("change", "says"), REFUSALS, ids=[says for _, says in REFUSALS])
async def test_what_gemini_refuses(change: dict[str, Any], says: str, sim: Simulator) -> None:
    url = f"{sim.base_url}/v1beta/models/sim-text:generateContent"
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(url, json={"contents": [ASKED], **change}, headers={"x-goog-api-key": "k"})
        nobody = await client.post(url, json={"contents": [ASKED]})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert says in error["message"]
    assert (nobody.status_code, nobody.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
