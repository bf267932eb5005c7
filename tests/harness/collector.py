"""A collector of telemetry: takes OTLP over HTTP in JSON and reads it into the messages that the protocol defines."""

import asyncio
import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_MESSAGES = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}
_IDS = ("traceId", "spanId", "parentSpanId")


class Collector:
    """Listens on loopback. `status` is what it answers; `silent` makes it never answer. `bodies` is everything that came."""

    def __init__(self) -> None:
        self.status = 200
        self.silent = False
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.spans: list[Any] = []
        self.resources: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._fault: BaseException | None = None

    async def __aenter__(self) -> "Collector":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        if self._fault is not None:
            raise self._fault

    @property
    def url(self) -> str:
        """Its endpoint."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def until(self, condition: Any, timeout_s: float = 12) -> None:
        """Wait for something to have come."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self._fault is not None:
                    raise self._fault
                self.arrived.clear()
                await self.arrived.wait()

    def calls(self) -> list[Any]:
        """The spans of calls."""
        return [span for span in self.spans if span.name.startswith("chat ")]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
                body = await reader.readexactly(length)
                while self.silent:
                    await asyncio.sleep(0.05)
                self._take(head, body)
                writer.write(b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % self.status)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            self._fault = error
        finally:
            self.arrived.set()
            writer.close()

    def _take(self, head: str, body: bytes) -> None:
        self.heads.append(head)
        self.bodies.append(body)
        path = head.split(" ")[1]
        message = json_format.ParseDict(_with_base64_ids(json.loads(body)), _MESSAGES[path]())
        if self.status < 300:
            for resource in getattr(message, "resource_spans", []):
                self.resources.append(resource.resource)
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            for resource in getattr(message, "resource_metrics", []):
                self.metrics |= {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
        self.arrived.set()


def _with_base64_ids(value: Any) -> Any:
    """OTLP writes ids in hexadecimal where protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [_with_base64_ids(one) for one in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(one)).decode() if name in _IDS else _with_base64_ids(one)
            for name, one in value.items()
        }
    return value


def attributes_of(thing: Any) -> dict[str, Any]:
    """The attributes of a span, a resource or a data point, as plain values."""
    return {pair.key: _plain(pair.value) for pair in thing.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_plain(one) for one in found.values] if kind == "array_value" else found
