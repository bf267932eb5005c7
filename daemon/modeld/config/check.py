"""Every problem of a models.yaml at once, each at its place, and the config where there is no error among them."""

import re
from collections.abc import Callable, Collection, Mapping

from modeld_protocol.config import Problem, Severity

from ..limits import MAX_CONFIG_BYTES, MIB
from . import yaml_nodes
from .adapter_checks import AdapterRules, KeyEnv, check_adapter, no_key_env
from .client_checks import check_clients
from .fields import Field, Fields, Report, is_null, read_entries, read_fields
from .keeping_checks import check_budgets, check_retention
from .model_checks import check_default, check_models
from .schema import TOP_FIELDS, AdapterConfig, Config, RetentionConfig
from .wording import hide_keys, quote
from .yaml_nodes import Document, Scalar, YamlError

_EXAMPLE = "write 'adapters:' with one entry per provider, each with a 'type' and where its key comes from"

Offered = Callable[[Config], Collection[str]]
"""The ids and aliases of the models that the catalog has for the adapters of a config."""

Verify = Callable[[Config], str | None]
"""What is wrong with a well-formed config in the catalog's eyes, beginning with `name: ` of an adapter or model; None where
nothing is."""


def check(
    data: bytes,
    file: str,
    known_types: Collection[str],
    env: Mapping[str, str],
    *,
    default_key_env: KeyEnv = no_key_env,
    offered: Offered | None = None,
    verify: Verify | None = None,
) -> tuple[Config | None, list[Problem]]:
    """The config in `data` and what is wrong with it, in the order of the file. The config is None exactly where there is an
    error. `default_key_env` says for a type which variable holds its key unless told; `offered` which ids and aliases the
    catalog has for a config that gives no models, `verify` what the catalog refuses. What they would tell isn't checked without
    them.

    Never raises for anything in `data`. No message repeats a key.
    """
    if len(data) > MAX_CONFIG_BYTES:
        message = f"the file is larger than {MAX_CONFIG_BYTES // MIB} MiB; make it smaller"
        return None, [problem_of_file(file, "too_large", message)]
    document, report = _parse(data, file)
    if document is None:
        return None, report.sorted()
    rules = AdapterRules(known_types, default_key_env, env)
    config = _check_document(document, report, rules)
    if offered is not None and config is not None and not (report.errors or config.models_given):
        _check_offered_default(document, report, config, offered)
    if verify is not None and config is not None and not report.errors and (refusal := verify(config)) is not None:
        place = _place_of_refusal(document, refusal)
        start, end = (place.start, place.end) if place else (0, 0)
        report.error_at(start, end, "refused_by_catalog", hide_keys(refusal))
    return (None if report.errors else config), report.sorted()


def problem_of_file(file: str, code: str, message: str, severity: Severity = "error") -> Problem:
    """A problem of the file as a whole."""
    return Problem(file=file, line=1, column=1, severity=severity, code=code, message=message, end_line=1, end_column=1)


def _parse(data: bytes, file: str) -> tuple[Document | None, Report]:
    try:
        text = data.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        report = Report(yaml_nodes.empty_document(before), file)
        report.error_at(len(before), len(before), "not_utf8", "the file is not UTF-8 text; save it as UTF-8")
        return None, report
    try:
        document = yaml_nodes.compose(text)
    except YamlError as error:
        report = Report(yaml_nodes.empty_document(text), file)
        report.error_at(error.index, error.end, error.code, error.message)
        return None, report
    return document, Report(document, file)


def _check_document(document: Document, report: Report, rules: AdapterRules) -> Config | None:
    _check_syntax(document, report)
    if document.root is None or is_null(document.root):
        report.error_at(0, 0, "empty", f"the file is empty; {_EXAMPLE}")
        return None
    if not isinstance(document.root, yaml_nodes.Mapping):
        report.error(document.root, "not_a_mapping", f"the file must be a mapping at its top; {_EXAMPLE}")
        return None
    top = read_fields(report, document.root, "the file", dict.fromkeys(TOP_FIELDS, lambda _, field: field))
    names, adapters = _check_adapters(report, top, rules)
    models, model_names = {}, None
    given = "models" in top.values
    if given:
        entries = read_entries(report, top.values["models"].node, "models", "models")
        models, model_names = check_models(report, entries, names)
    default = check_default(report, top.values["default_model"], model_names) if "default_model" in top.values else None
    return Config(
        adapters=adapters,
        models=models,
        default_model=default,
        models_given=given,
        budgets=check_budgets(report, top.values["budgets"]) if "budgets" in top.values else {},
        retention=check_retention(report, top.values["retention"]) if "retention" in top.values else RetentionConfig(),
        clients=check_clients(report, top.values["clients"]) if "clients" in top.values else {},
    )


def _check_offered_default(document: Document, report: Report, config: Config, offered: Offered) -> None:
    """A default among the catalog's models exists there."""
    if config.default_model is None or config.default_model in (names := offered(config)):
        return
    assert isinstance(document.root, yaml_nodes.Mapping)
    place = next(value for key, value in document.root.pairs if isinstance(key, Scalar) and key.text == "default_model")
    near = report.suggest(config.default_model, names)
    message = f"default_model {quote(config.default_model)} is no model or alias that these adapters are known to have{near}"
    report.error(place, "unknown_model", message)


def _place_of_refusal(document: Document, refusal: str) -> Scalar | None:
    """Where what is refused stands: the adapter or model that the words begin with, in it the field that they name, in it the
    option that they name."""
    top = _entries(document.root)
    named = [
        entry
        for section in ("models", "adapters")
        for name, entry in _entries(top[section][1] if section in top else None).items()
        if refusal.startswith(f"{name}: ")
    ]
    if not named:
        return None
    place, node = named[0]
    for field, (key, options) in _entries(node).items():
        if f"`{field}`" in refusal or (field == "options" and "option of a model" in refusal):
            place = next((one for option, (one, _) in _entries(options).items() if _says(refusal.partition(";")[0], option)), key)
    return place


def _says(words: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words) is not None


def _entries(node: yaml_nodes.Node | None) -> dict[str, tuple[Scalar, yaml_nodes.Node]]:
    pairs = node.pairs if isinstance(node, yaml_nodes.Mapping) else ()
    return {key.text: (key, value) for key, value in pairs if isinstance(key, Scalar)}


def _check_syntax(document: Document, report: Report) -> None:
    """What YAML allows and models.yaml doesn't."""
    for alias in document.aliases:
        report.error(alias, "alias", f"aliases ({quote('*' + alias.name)}) aren't supported in models.yaml; write the value out")
    for node in document.tagged:
        report.error(node, "tag", "tags ('!…') aren't supported in models.yaml; remove the tag")
    if document.second is not None:
        message = "models.yaml is one document; remove this '---', or it and what follows"
        report.error_at(document.second, document.second + 3, "several_documents", message)


def _check_adapters(report: Report, top: Fields, rules: AdapterRules) -> tuple[list[str], dict[str, AdapterConfig]]:
    """The names that are defined, rightly or not, and the adapters that are right."""
    field = top.entries.get("adapters")
    if field is None:
        report.error_at(0, 0, "missing_field", f"there are no adapters; {_EXAMPLE}")
        return [], {}
    if is_null(field.node) or (isinstance(field.node, yaml_nodes.Mapping) and not field.node.pairs):
        report.error(field.key, "no_adapters", f"adapters is empty; {_EXAMPLE}")
        return [], {}
    entries = read_entries(report, field.node, "adapters", "adapters by name")
    checked = {entry.name: _adapter(report, entry, rules) for entry in entries}
    return list(checked), {name: adapter for name, adapter in checked.items() if adapter is not None}


def _adapter(report: Report, entry: Field, rules: AdapterRules) -> AdapterConfig | None:
    return None if isinstance(entry.node, yaml_nodes.Alias) else check_adapter(report, entry, rules)
