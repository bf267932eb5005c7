"""Reads whole answers of the Responses wire, how any of its answers ends, and its token counts."""

from typing import Any, NamedTuple, cast

import msgspec

from modeld_protocol.response import StopReason

from ...assembler import Assembler
from ...failure import ProviderFailure
from ..loose_json import parse_json, whole_number
from ..openai_shared.errors import decode_failure, failure_in_answer
from .items import ItemReader
from .types import Answer
from .usage import decode_usage, reported_cost

_decode_answer = msgspec.json.Decoder(Answer).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

# https://developers.openai.com/api/reference/resources/responses (2026-11-20); there is no stop reason for a tool call, and
# the assembler knows of calls and refusals.
_INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "max_tokens", "content_filter": "content_filter"}
_UNFINISHED = ("in_progress", "queued")


class Ending(NamedTuple):
    """How an answer ends. `failure` where it failed."""

    stop_reason: StopReason
    failure: ProviderFailure | None = None


def parse_object(data: bytes | msgspec.Raw, assembler: Assembler | None = None) -> dict[str, Any]:
    """A JSON object, repaired where it must be. Raises ValueError for anything else."""
    value, repaired = parse_json(bytes(data))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # one error for all that is no answer
    if repaired and assembler is not None:
        assembler.warn("stream_repaired", "the provider sent broken text; what could not be read was replaced")
    return cast("dict[str, Any]", value)


def parse_answer(data: bytes | msgspec.Raw, assembler: Assembler) -> Answer:
    """A response object. Raises ValueError for what is none."""
    try:
        return _decode_answer(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    found = parse_object(data, assembler)
    answer = Answer(**{name: found[name] for name in Answer.__struct_fields__ if name in found and name != "output"})
    if "output" in found:
        answer.output = msgspec.Raw(msgspec.json.encode(found["output"]))
    return answer


def note_answer(answer: Answer, reader: ItemReader, assembler: Assembler) -> None:
    """What is known from the first event on: the model, and the id where the provider keeps the answer."""
    if isinstance(answer.model, str) and answer.model:
        assembler.served_model = answer.model
    if answer.store is True and isinstance(answer.id, str) and answer.id:
        reader.response_id = answer.id


def end_answer(answer: Answer, reader: ItemReader, assembler: Assembler) -> Ending:
    """All that the last word says: items that did not come by themselves, usage, how it ends. Raises ValueError where the
    items can't be read."""
    note_answer(answer, reader, assembler)
    _take_items(answer, reader, assembler)
    usage = decode_usage(answer.usage)
    if usage is not None:
        assembler.usage = usage
    if assembler.quirks.reports_cost:
        assembler.reported_cost = reported_cost(answer.usage)
    _note_removals(answer, assembler)
    if answer.status == "failed" or answer.error:
        return Ending("error", failure_in_answer({"error": answer.error or {"message": "it gave no reason"}}))
    return Ending(map_stop_reason(answer.status, answer.incomplete_details))


def _take_items(answer: Answer, reader: ItemReader, assembler: Assembler) -> None:
    if bytes(answer.output) in (b"", b"null"):
        return
    try:
        items = _decode_items(answer.output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("the output is no list of items") from error
    if reader.finished >= len(items):
        return  # nearly always: every item came by itself. Servers may count them otherwise here.
    for index, item in enumerate(items):
        reader.finish(index, parse_object(item, assembler))


def map_stop_reason(status: Any, details: Any) -> StopReason:
    """The canonical stop reason of an answer that did not fail."""
    if status == "cancelled":
        return "cancelled"
    if status != "incomplete":
        return "end_turn"
    reason = cast("dict[str, Any]", details).get("reason") if isinstance(details, dict) else None
    return _INCOMPLETE.get(str(reason), "pause")


def _note_removals(answer: Answer, assembler: Assembler) -> None:
    """Reasoning of the history that the provider did not use."""
    removed = answer.input_transformations
    if not isinstance(removed, list) or not removed:
        return
    found = cast("list[Any]", removed)
    reasons = sorted({str(cast("dict[str, Any]", one).get("reason"))[:40] for one in found if isinstance(one, dict)})
    assembler.warn("content_dropped", f"the provider left reasoning of the history out: {', '.join(reasons)}")


def decode_answer(body: bytes, assembler: Assembler) -> None:
    """A whole answer into the assembler. Raises ProviderFailure for one that failed and for what is no answer; content that
    came beside an error has been taken by then."""
    reader = ItemReader(assembler)
    try:
        answer = parse_answer(body, assembler)
        if answer.status is None and not answer.error and not bytes(answer.output):
            raise ValueError("no answer")
        ending = end_answer(answer, reader, assembler)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    if ending.failure is not None:
        raise ending.failure
    if answer.status in _UNFINISHED:
        raise ProviderFailure("server_error", f"the provider's answer is {answer.status}, not finished; try again")
    assembler.complete(ending.stop_reason)


def decode_count(body: bytes) -> int:
    """The answer of the token-count endpoint. Raises ProviderFailure."""
    try:
        count = whole_number(parse_object(body).get("input_tokens"))
    except ValueError:
        count = None
    if count is None or count < 0:
        raise decode_failure(200, {}, body)
    return count
