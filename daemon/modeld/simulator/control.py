"""The simulator's own pages under `/_sim/`: what a test in another process can ask and set. No IO."""

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec

from .ask import Call, Refused
from .choose import Chooser, Pushed
from .plan import Plan, plan_rendered
from .records import Records, public_view
from .script import Script
from .wires.contract import Rendered

_PREFIX = "/_sim/"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_PAGES = "GET /_sim/requests?since=N, GET /_sim/stats, POST /_sim/script, POST /_sim/reset"


def is_control(path: str) -> bool:
    """Whether the path is one of the simulator's own."""
    return path.startswith(_PREFIX)


def control_plan(
    call: Call,
    records: Records,
    chooser: Chooser,
    stats: Callable[[], dict[str, Any]],
    reset: Callable[[], None],
    *,
    show_keys: bool,
) -> Plan:
    """The answer of a control page: JSON, status 200, or 400, 403 and 404 with `{"error": message}`."""
    if not _is_local(call):
        return _page({"error": "Control pages answer local programs only: no Origin header, and a loopback name in Host"}, 403)
    match call.method, call.path.removeprefix(_PREFIX):
        case "GET", "requests":
            since = parse_qs(call.query).get("since", ["0"])[0]
            shown = records.since(int(since) if since.isdigit() else 0)
            return _page({"requests": [public_view(request, show_keys=show_keys) for request in shown]})
        case "GET", "stats":
            return _page(stats())
        case "POST", "script":
            return _pushed(call, chooser)
        case "POST", "reset":
            reset()
            return _page({"reset": True})
        case _:
            return _page({"error": f"There is no such control page; there are {_PAGES}"}, 404)


def _is_local(call: Call) -> bool:
    """A web page must not reach what others asked: browsers send Origin, and a rebound name shows in Host."""
    host = call.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return "origin" not in call.headers and name in _LOOPBACK_NAMES


def _pushed(call: Call, chooser: Chooser) -> Plan:
    """Takes a script's name, a script, `{script, times?, model?, wire?}`, or a list of those."""
    try:
        said = msgspec.json.decode(call.body)
        answers = [_parse_pushed(one) for one in cast("list[Any]", said if isinstance(said, list) else [said])]
        for answer in answers:
            chooser.push(answer)
    except (msgspec.MsgspecError, Refused, ValueError) as error:
        return _page({"error": str(error)}, 400)
    return _page({"queued": len(answers)})


def _parse_pushed(said: Any) -> Pushed:
    if isinstance(said, dict) and "script" in said:
        return msgspec.convert(said, Pushed)
    return Pushed(said if isinstance(said, str) else msgspec.convert(said, Script))


def _page(value: Any, status: int = 200) -> Plan:
    return plan_rendered(Rendered(status, msgspec.json.encode(value)))
