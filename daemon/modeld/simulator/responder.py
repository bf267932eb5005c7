"""From a request to the plan of its answer: route, read, choose, render, remember. No IO."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..clock import Clock
from .ask import Ask, Call, Refused
from .builtin import parse_bench
from .choose import Choice, Chooser
from .control import control_plan, is_control
from .faults import THROTTLE, FaultUse, plan_fault
from .keeping import Shelf, wire_of_keeping
from .meter import Meter
from .plan import Answering, Plan, plan_answer, plan_rendered
from .records import MAX_BODY_BYTES, RecordedRequest, Records
from .script import Scenario
from .wires import all_wires, flavoured_wires
from .wires.contract import Failure, Operation, Peek, Rendered, SimWire, Stamp, credential_of

_BENCH_MARK = "bench-"
_MAX_BENCH_PLANS = 256


class Responder:
    """Answers requests. `stats` gives the figures that only the server knows, for the control pages."""

    def __init__(
        self, scenario: Scenario, clock: Clock, *, show_keys: bool, stats: Callable[[], dict[str, Any]], reset: Callable[[], None]
    ) -> None:
        self.scenario = scenario
        self.chooser = Chooser(scenario)
        self.records = Records()
        self._meter = Meter()
        self._clock = clock
        self._show_keys = show_keys
        self._stats = stats
        self._reset = reset
        self._number = 0
        self._token = clock.token(4).hex()
        self._wires = (*all_wires(), *flavoured_wires())
        self._bench_plans: dict[tuple[str, Peek], Plan] = {}
        self.shelf = Shelf()

    def answer(self, call: Call, headers: Sequence[tuple[str, str]]) -> tuple[Plan, RecordedRequest | None]:
        """The plan for a request, and its record unless it asks for a control page."""
        if is_control(call.path):
            return control_plan(call, self.records, self.chooser, self._stats, self._reset, show_keys=self._show_keys), None
        self._number += 1
        call.number = self._number
        record = RecordedRequest(
            number=call.number,
            at_s=self._clock.monotonic(),
            method=call.method,
            path=call.path + (f"?{call.query}" if call.query else ""),
            headers=list(headers),
            body=call.body[:MAX_BODY_BYTES],
            body_bytes=len(call.body),
        )
        self.records.add(record)
        plan = self._routed(call, record)
        record.status = plan.status
        return plan, record

    def too_large(self, call: Call) -> Plan:
        """The refusal of a body that is not read to its end."""
        wire, _ = self._route(call)
        return plan_rendered((wire or self._wires[0]).failure(Failure("too_large"), None, self._request_id(call)))

    def _route(self, call: Call) -> tuple[SimWire | None, Operation | None]:
        for wire in self._wires:
            operation = wire.match(call.method, call.path, call.headers)
            if operation is not None:
                return wire, operation
        return None, None

    def _routed(self, call: Call, record: RecordedRequest) -> Plan:
        wire, operation = self._route(call)
        if wire is None:
            return self._keeping(call, record) or self._unknown_route(call)
        record.wire = wire.name
        if operation == "generate" and (_BENCH_MARK.encode() in call.body or _BENCH_MARK in call.path):
            plan = self._bench(wire, call, record)
            if plan is not None:
                return plan
        try:
            return self._operate(wire, operation, call, record)
        except Refused as refused:
            return plan_rendered(wire.failure(_failure_of(refused), Ask(record.model or "unknown"), self._request_id(call)))

    def _operate(self, wire: SimWire, operation: Operation | None, call: Call, record: RecordedRequest) -> Plan:
        if operation == "generate":
            return self._generate(wire, call, record)
        if operation == "count_tokens":
            return plan_rendered(wire.count(call, require_key=self.scenario.require_key))
        return plan_rendered(wire.models(call, self.chooser.names()))

    def _generate(self, wire: SimWire, call: Call, record: RecordedRequest) -> Plan:
        ask = wire.read(call, require_key=self.scenario.require_key, refuse=self.chooser.refuse)
        record.model = ask.model
        choice = self._metered(self.chooser.choose(wire.name, call, ask), call)
        record.script, record.fault = choice.name, choice.fault.fault.name if choice.fault else ""
        stamp = Stamp(f"{self._token}{call.number:06d}", int(self._clock.wall()))
        answering = Answering(wire, ask, choice.script, stamp, self._request_id(call), call.path, call.headers)
        return plan_fault(choice.fault, answering) if choice.fault else plan_answer(answering)

    def _metered(self, choice: Choice, call: Call) -> Choice:
        """The choice without its fault, where that is a throttle and the key still may."""
        use = choice.fault
        if use is None or use.fault.name != THROTTLE:
            return choice
        wait_s = self._meter.wait_s(credential_of(call.headers) or "", float(use.params["per_second"]), self._clock.monotonic())
        fault = FaultUse(use.fault, {**use.params, "retry_after": round(wait_s, 3)}) if wait_s > 0 else None
        return msgspec.structs.replace(choice, fault=fault)

    def _keeping(self, call: Call, record: RecordedRequest) -> Plan | None:
        """The plan of a request about what is kept for later, None for any other."""
        try:
            answer = self.shelf.answer(call, require_key=self.scenario.require_key)
        except Refused as refused:
            wire = next(wire for wire in self._wires if wire.name == wire_of_keeping(call))
            return plan_rendered(wire.failure(_failure_of(refused), None, self._request_id(call)))
        if answer is None:
            return None
        record.wire, rendered = answer
        return plan_rendered(rendered)

    def _request_id(self, call: Call) -> str:
        return f"req_{self._token}{call.number:06d}"

    def _bench(self, wire: SimWire, call: Call, record: RecordedRequest) -> Plan | None:
        """A benchmark's plan, rendered once; its request is not checked. None where the model is another one after all."""
        peek = wire.peek(call)
        if peek is None:
            return None
        key = (wire.name, peek)
        plan = self._bench_plans.get(key)
        if plan is None:
            profile = parse_bench(peek.model)
            if profile is None:
                return None
            ask = Ask(peek.model, stream=peek.stream, include_usage=peek.include_usage)
            plan = plan_answer(Answering(wire, ask, profile.script(), Stamp("bench", 0), "req_bench"))
            if len(self._bench_plans) >= _MAX_BENCH_PLANS:
                self._bench_plans.clear()
            self._bench_plans[key] = plan
        record.model, record.script = peek.model, "bench"
        return plan

    def _unknown_route(self, call: Call) -> Plan:
        spoken = ", ".join(wire.title for wire in all_wires())
        message = f"The simulator has no {call.method} {call.path}. It speaks {spoken}; check the base URL"
        return plan_rendered(Rendered(404, msgspec.json.encode({"error": {"type": "not_found_error", "message": message}})))


def _failure_of(refused: Refused) -> Failure:
    said = {"kind": refused.kind, "message": refused.message, "param": refused.param, "code": refused.code}
    return msgspec.convert(said, Failure)
