"""Which answer a request gets: what was pushed, its header, the scenario's rules, then its model's name. No IO."""

from collections import Counter, deque
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from .ask import Ask, Call, Refused
from .builtin import BUILTINS, REFUSED_BY_BUILTINS, build_builtin
from .faults import FAULTS, FaultError, FaultUse, parse_fault
from .script import Answer, Rule, Scenario, Script

HEADER = "x-modeld-sim"
_PREFIX = "sim-"
_FAULT_PREFIX = "fault-"


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the header may say: another script, or changes to the one that the model's name picks."""

    script: Answer | None = None
    fault: str | dict[str, Any] | None = None
    pace_ms: float | None = None
    first_delay_ms: float | None = None
    batch: int | None = None


class Pushed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer for the next request (or the next `times`), of the wire and the models (a glob) that are named, if any."""

    script: Answer
    times: int = 1
    model: str | None = None
    wire: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """What a request gets: a script, and the fault that hits it, if any."""

    name: str
    script: Script
    fault: FaultUse | None = None


class Chooser:
    """Holds the scenario, the answers that were pushed, and how often each source was used."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.refuse: dict[str, list[str]] = {**REFUSED_BY_BUILTINS, **scenario.refuse}
        self._pushed: deque[Pushed] = deque()
        self._used: Counter[str] = Counter()

    def push(self, answer: Pushed) -> None:
        """Queue an answer. Raises Refused where its script or fault isn't there."""
        self._resolve(answer.script, Ask("sim-text"))
        self._pushed.append(answer)

    def reset(self) -> None:
        """Forget what was pushed and what was used."""
        self._pushed.clear()
        self._used.clear()

    def names(self) -> list[str]:
        """The models that the simulator lists."""
        faults = [f"{_PREFIX}{_FAULT_PREFIX}{name}" for name in FAULTS]
        return [*(f"{_PREFIX}{name}" for name in (*self.scenario.scripts, *BUILTINS)), *faults]

    def choose(self, wire: str, call: Call, ask: Ask) -> Choice:
        """The answer to a request. Raises Refused for a model, a script or a fault that there isn't."""
        override = _override(call.headers)
        source, answer = self._source(wire, call, ask, override)
        script = _overridden(self._resolve(answer, ask), override)
        name = answer if isinstance(answer, str) else "inline"
        if script.fault is None:
            return Choice(name, script)
        use = _parsed(script.fault)
        key = f"{source} {script.fault}"
        self._used[key] += 1
        return Choice(name, script, use if not use.times or self._used[key] <= use.times else None)

    def _source(self, wire: str, call: Call, ask: Ask, override: Override | None) -> tuple[str, Answer]:
        pushed = self._take_pushed(wire, ask)
        if pushed is not None:
            return "pushed", pushed
        if override is not None and override.script is not None:
            return f"header {call.headers[HEADER]}", override.script
        for place, rule in enumerate(self.scenario.rules):
            if _matches(rule, wire, call.headers, ask):
                answer = rule.answer(self._used[f"rule {place}"])
                self._used[f"rule {place}"] += 1
                if answer is not None:
                    return f"rule {place}", answer
        return f"model {ask.model}", self._answer_for_model(ask.model)

    def _take_pushed(self, wire: str, ask: Ask) -> Answer | None:
        for place, pushed in enumerate(self._pushed):
            if pushed.wire in (None, wire) and fnmatchcase(ask.model, pushed.model or "*"):
                del self._pushed[place]
                if pushed.times > 1:
                    self._pushed.insert(place, msgspec.structs.replace(pushed, times=pushed.times - 1))
                return pushed.script
        return None

    def _answer_for_model(self, model: str) -> Answer:
        # What follows a plus sign only tells counters apart: `sim-fault-rate_limit-2+first-test`.
        name = model.partition("+")[0]
        if name in self.scenario.scripts:
            return name
        if name.startswith(_PREFIX):
            return name.removeprefix(_PREFIX)
        if self.scenario.default is None:
            raise Refused("not_found", "", param="model")
        return self.scenario.default

    def _resolve(self, answer: Answer, ask: Ask) -> Script:
        if isinstance(answer, Script):
            script = answer
        elif answer in self.scenario.scripts:
            script = self.scenario.scripts[answer]
        elif answer.startswith(_FAULT_PREFIX):
            script = Script(fault=answer.removeprefix(_FAULT_PREFIX))
        else:
            script = build_builtin(answer, ask)
        if script is None:
            raise Refused("not_found", f"The simulator has no script {answer!r}; `modeld simulate --list` names them all")
        if script.fault is not None:
            _parsed(script.fault)
        return script


def _parsed(fault: str | Mapping[str, Any]) -> FaultUse:
    try:
        return parse_fault(fault)
    except FaultError as error:
        raise Refused("not_found", f"Simulator: {error}") from error


def _override(headers: Mapping[str, str]) -> Override | None:
    """What the header says: a script's name as a JSON string, a whole script, or an Override."""
    text = headers.get(HEADER)
    if text is None:
        return None
    try:
        said = msgspec.json.decode(text)
        if isinstance(said, str):
            return Override(script=said)
        if isinstance(said, dict) and "steps" in said:
            return Override(script=msgspec.convert(said, Script))
        return msgspec.convert(said, Override)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused("bad_request", f"The header {HEADER} can't be read: {error}") from error


def _overridden(script: Script, override: Override | None) -> Script:
    if override is None:
        return script
    changes = {
        name: value for name in ("fault", "pace_ms", "first_delay_ms", "batch") if (value := getattr(override, name)) is not None
    }
    return msgspec.structs.replace(script, **changes)


def _matches(rule: Rule, wire: str, headers: Mapping[str, str], ask: Ask) -> bool:
    return (
        (rule.model is None or fnmatchcase(ask.model, rule.model))
        and (rule.text is None or rule.text.lower() in ask.user_text.lower())
        and rule.wire in (None, wire)
        and rule.tool_result in (None, ask.answered)
        and all(headers.get(name.lower()) == value for name, value in rule.header.items())
    )
