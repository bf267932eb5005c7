"""OpenTelemetry end to end: what a collector gets of calls that end well, fail, retry, are cancelled; what it never gets."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.proto", reason="needs opentelemetry-proto; the test group has it")

from tests.e2e.conftest import MODELS, World
from tests.harness import canary
from tests.harness.collector import Collector, attributes_of
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio
PROMPT = "canary-prompt-4b1f77"
COLLECTOR_KEY = "collector-canary-99aa31"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as collector:
        yield collector


def watched(world: World, collector: Collector, **env: str) -> DaemonProcess:
    config = models_yaml(world.simulator.base_url, world.simulator.openai_base_url, MODELS)
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "editor-models", **env}
    return DaemonProcess(config, env=named)


async def ask(peer: Peer, model: str, method: str = "model/stream", **more: Any) -> Any:
    return await peer.call(method, {"model": model, "messages": PROMPT, "system_prompt": PROMPT, **more}, 30)


async def test_a_call_is_a_span_with_an_attempt_below_it(world: World, collector: Collector) -> None:
    env = {"OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={COLLECTOR_KEY},x-tenant=a%20b"}
    async with watched(world, collector, **env) as daemon:
        peer = await daemon.peer()
        result = (await ask(peer, "anthropic:sim-cached", request_id="r-1", max_output_tokens=400)).ok()
    (call,) = collector.calls()
    (attempt,) = [span for span in collector.spans if span is not call]
    assert call.name == "chat sim-cached"
    assert (len(call.trace_id), len(call.span_id), call.parent_span_id) == (16, 8, b"")
    assert (attempt.trace_id, attempt.parent_span_id) == (call.trace_id, call.span_id)
    assert call.kind == attempt.kind == 3
    assert call.start_time_unix_nano <= attempt.start_time_unix_nano <= attempt.end_time_unix_nano <= call.end_time_unix_nano
    assert call.status.code == 0
    usage, said = result["usage"], attributes_of(call)
    for name, value in {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "sim-cached",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 400,
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": usage["total_tokens"] - usage["output_tokens"],
        "gen_ai.usage.output_tokens": usage["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": usage["cached_input_tokens"],
        "gen_ai.usage.cache_creation.input_tokens": usage["cache_creation_input_tokens"],
        "modeld.request_id": "r-1",
        "server.address": "127.0.0.1",
    }.items():
        assert said[name] == value, name
    assert 0 < said["gen_ai.response.time_to_first_chunk"] < 5
    assert said["server.port"] == int(world.simulator.base_url.rpartition(":")[2])
    assert attributes_of(collector.resources[0])["service.name"] == "editor-models"
    assert all(f"x-api-key: {COLLECTOR_KEY}\r\nx-tenant: a b\r\n" in head for head in collector.heads)


async def test_metrics_count_tokens_times_and_failures(world: World, collector: Collector) -> None:
    async with watched(world, collector) as daemon:
        peer = await daemon.peer()
        answers = [(await ask(peer, "openai:sim-text", method)).ok() for method in ("model/stream", "model/complete")]
        await ask(peer, "openai:sim-fault-bad_request")
        (await ask(peer, "openai:sim-fault-no_usage")).ok()
    tokens, duration, first = (
        collector.metrics[f"gen_ai.client.{name}"]
        for name in ("token.usage", "operation.duration", "operation.time_to_first_chunk")
    )
    assert (tokens.unit, duration.unit, first.unit) == ("{token}", "s", "s")
    by_type = {attributes_of(point)["gen_ai.token.type"]: point for point in tokens.histogram.data_points}
    assert by_type["output"].sum == sum(answer["usage"]["output_tokens"] for answer in answers)
    assert by_type["input"].sum == sum(answer["usage"]["input_tokens"] for answer in answers)
    assert by_type["input"].count == 2, "an estimate is no count"
    by_error = {attributes_of(point).get("error.type"): point for point in duration.histogram.data_points}
    assert by_error["invalid_request"].count == 1
    assert sum(point.count for point in duration.histogram.data_points) == 4
    assert sum(point.count for point in first.histogram.data_points) == 2, "streams alone have a first chunk"
    for metric in (tokens, duration, first):
        assert metric.histogram.aggregation_temporality == 2
        for point in metric.histogram.data_points:
            assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            assert sum(point.bucket_counts) == point.count
            assert point.min <= point.max
            assert 0 < point.start_time_unix_nano <= point.time_unix_nano


async def test_every_attempt_of_a_call_has_its_span(world: World, collector: Collector) -> None:
    async with watched(world, collector) as daemon:
        peer = await daemon.peer()
        world.simulator.reset()
        (await ask(peer, "openai:sim-fault-server_error-1-503")).ok()
        await ask(peer, "openai:sim-fault-auth")
        number = peer.request(
            "model/stream", {"model": "openai:sim-fault-hang_mid_stream", "messages": PROMPT, "request_id": "r-c"}
        )
        await peer.until(lambda: peer.events("r-c"))
        peer.cancel(number)
        await peer.reply(number)
    calls = {attributes_of(span)["gen_ai.request.model"]: span for span in collector.calls()}

    def attempts(model: str) -> list[dict[str, Any]]:
        return [attributes_of(span) for span in collector.spans if span.parent_span_id == calls[model].span_id]

    failed, succeeded = attempts("sim-fault-server_error-1-503")
    assert (failed["error.type"], failed["http.response.status_code"], failed["modeld.will_retry"]) == ("server_error", 503, True)
    assert "error.type" not in succeeded
    assert succeeded["http.request.resend_count"] == 1
    assert calls["sim-fault-server_error-1-503"].status.code == 0
    for model, error_class in (("sim-fault-auth", "auth"), ("sim-fault-hang_mid_stream", "cancelled")):
        assert calls[model].status.code == 2
        assert attributes_of(calls[model])["error.type"] == error_class
        assert [one["error.type"] for one in attempts(model)] == [error_class]


async def test_a_fallback_is_a_span_of_its_own_in_the_same_trace(world: World, collector: Collector) -> None:
    config = json.loads(models_yaml(world.simulator.base_url, world.simulator.openai_base_url, ["sim-text"], max_retries=0))
    weak = {"adapter": "openai", "wire_name": "sim-fault-overloaded", "fallbacks": ["anthropic:sim-text"]}
    config["models"]["openai:weak"] = weak
    async with DaemonProcess(json.dumps(config), env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as daemon:
        (await ask(await daemon.peer(), "openai:weak")).ok()
    spans = {attributes_of(span)["gen_ai.request.model"]: span for span in collector.calls()}
    failed, answered = spans["sim-fault-overloaded"], spans["sim-text"]
    assert failed.trace_id == answered.trace_id
    assert (attributes_of(failed)["error.type"], failed.status.code) == ("server_error", 2)
    assert (attributes_of(answered)["gen_ai.provider.name"], answered.status.code) == ("anthropic", 0)
    parents = [span.parent_span_id for span in collector.spans if span.name == "attempt"]
    assert sorted(parents) == sorted([failed.span_id, answered.span_id])


async def test_nothing_that_was_said_and_no_key_leaves(world: World, collector: Collector) -> None:
    async with watched(world, collector, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{COLLECTOR_KEY}") as daemon:
        peer = await daemon.peer()
        answer = (await ask(peer, "openai:sim-text")).ok()
        await ask(peer, "openai:sim-fault-echo_key", request_id=f"r-{KEY}")
        said = answer["content"][0]["text"]
    assert len(collector.calls()) == 2
    assert not canary.find([KEY, PROMPT, said, COLLECTOR_KEY], *collector.bodies)
    assert not canary.find([COLLECTOR_KEY], daemon.output(), json.dumps(peer.messages))


@pytest.mark.parametrize("trouble", ["refused", "silent", "503", "400"])
async def test_a_collector_in_trouble_holds_nobody_up(world: World, collector: Collector, trouble: str) -> None:
    collector.silent = trouble == "silent"
    collector.status = int(trouble) if trouble.isdigit() else 200
    url = "http://127.0.0.1:9" if trouble == "refused" else collector.url
    async with watched(world, collector, OTEL_EXPORTER_OTLP_ENDPOINT=url) as daemon:
        peer = await daemon.peer()
        for _ in range(3):
            assert (await ask(peer, "openai:sim-text")).seconds < 2
        daemon.signal()
        assert await daemon.wait(8) == 0
    collector.silent = False


@pytest.mark.parametrize("endpoint", ["", "ftp://collector", "http://user:pass@collector"])
async def test_without_an_endpoint_there_is_nothing(world: World, collector: Collector, endpoint: str) -> None:
    async with watched(world, collector, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as daemon:
        peer = await daemon.peer()
        (await ask(peer, "openai:sim-text")).ok()
        assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in daemon.output()) is bool(endpoint)
        assert "pass@" not in daemon.output()
    assert not collector.bodies


async def test_what_is_off_is_not_imported() -> None:
    code = "import sys, modeld.app, modeld.cli.serve; print([name for name in sys.modules if name.startswith('modeld.obs')])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=Path.cwd())
    out, _ = await process.communicate()
    names = set(out.decode().strip("[]\n").replace("'", "").split(", "))
    assert names == {"modeld.observe", "modeld.observe.log", "modeld.observe.debug", "modeld.observe.call_log"}
