"""How the two OpenAI wires say no: statuses, codes and wording (platform.openai.com/docs/guides/error-codes, read 2026-11-20)."""

from typing import Any, NoReturn

from ..ask import Ask, Refused
from .contract import Failure, Kind

STATUS: dict[Kind, tuple[int, str, str | None]] = {
    "rate_limit": (429, "requests", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "slow_down"),
    "server_error": (500, "server_error", None),
    "bad_request": (400, "invalid_request_error", None),
    "auth": (401, "invalid_request_error", "invalid_api_key"),
    "forbidden": (403, "invalid_request_error", "unsupported_country_region_territory"),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "route_not_found": (404, "invalid_request_error", "unknown_url"),
    "unprocessable": (422, "invalid_request_error", None),
    "too_large": (413, "invalid_request_error", "request_too_large"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "context_overflow": (400, "invalid_request_error", "context_length_exceeded"),
    "content_filter": (400, "invalid_request_error", "invalid_prompt"),
}
WORDING: dict[Kind, str] = {
    "rate_limit": "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3. Please try again later.",
    "overloaded": "The server is currently overloaded with other requests. Please try again later.",
    "server_error": "The server had an error while processing your request. Sorry about that!",
    "bad_request": "We could not parse the JSON body of your request.",
    "auth": "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    "forbidden": "Country, region, or territory not supported",
    "not_found": "The model `{model}` does not exist or you do not have access to it.",
    "route_not_found": "Invalid URL",
    "unprocessable": "The request is well formed but cannot be processed.",
    "too_large": "The request is larger than the maximum size.",
    "quota": "You exceeded your current quota, please check your plan and billing details.",
    "context_overflow": "This model's maximum context length is 128000 tokens. However, your messages resulted in 250000 tokens. "
    "Please reduce the length of the messages.",
    "content_filter": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
}


def failure_error(failure: Failure, ask: Ask | None) -> tuple[int, dict[str, Any]]:
    """The status and the error object of a failure."""
    status, kind, code = STATUS[failure.kind]
    message = failure.message or WORDING[failure.kind].replace("{model}", ask.model if ask else "unknown")
    error = {"message": message, "type": kind, "param": failure.param, "code": (failure.code or code) or None}
    return failure.status or status, error


def refuse(message: str, param: str | None = None, code: str | None = None) -> NoReturn:
    """Refuse a request as malformed."""
    raise Refused("bad_request", message, param=param, code=code)
