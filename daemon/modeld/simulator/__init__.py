"""A provider on loopback that speaks the real wires, from scripts, with faults by name."""

from .ask import Refused
from .command import run
from .records import ClosedEarly, RecordedRequest
from .script import (
    RedactedThinkingStep,
    RefusalStep,
    Rule,
    Scenario,
    ScenarioError,
    Script,
    SimUsage,
    TextStep,
    ThinkingStep,
    ToolCallStep,
    parse_scenario,
)
from .server import Simulator

__all__ = [
    "ClosedEarly",
    "RecordedRequest",
    "RedactedThinkingStep",
    "RefusalStep",
    "Refused",
    "Rule",
    "Scenario",
    "ScenarioError",
    "Script",
    "SimUsage",
    "Simulator",
    "TextStep",
    "ThinkingStep",
    "ToolCallStep",
    "parse_scenario",
    "run",
]
