"""The tree itself: sizes, names, who may say what and import what. Every exception stands here with its reason."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"modeld": "daemon", "modeld_protocol": "protocol", "modeld_client": "clients/python"}
SOURCES = ("daemon/", "protocol/", "clients/", "benchmarks/", "scripts/", "tests/harness/")
MAX_LINES = 600
MAX_TEST_LINES = 900  # tables of cases
MAX_FUNCTION_LINES = 70
TABLES = {"daemon/modeld/cli/demo/provider.py scenario": "a table of what is said"}


@cache
def tracked() -> list[str]:
    """The files of the tree, as git knows them; all that stand there where there is no git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        return [name for name in listed if name and (ROOT / name).is_file()]
    kept = [path for root in (*SOURCES, "tests") for path in (ROOT / root).rglob("*") if path.is_file()]
    return [str(path.relative_to(ROOT)) for path in kept if "node_modules" not in path.parts and "__pycache__" not in path.parts]


def python(*below: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and name.startswith(below or "")]


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(text(name))


# ---- sizes and names


def test_no_module_is_too_long() -> None:
    limits = {name: MAX_LINES if name.startswith(SOURCES) else MAX_TEST_LINES for name in python()}
    assert not [name for name, limit in limits.items() if text(name).count("\n") > limit]


def test_no_function_is_too_long() -> None:
    found = [
        place
        for name in python()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
        and (place := f"{name} {node.name}") not in TABLES
    ]
    assert not found


def test_every_module_says_what_it_is() -> None:
    def says(name: str) -> bool:
        words = ast.get_docstring(tree(name)) or ""
        return bool(words) and len(words.splitlines()[0]) > 15

    assert not [name for name in python() if not says(name)]


FORBIDDEN_NAMES = ("util", "utils", "helper", "helpers", "manager", "common", "misc", "stuff")


def test_no_file_is_named_for_nothing() -> None:
    words = {name: re.split(r"[/._-]", name.lower()) for name in tracked()}
    assert not [name for name, parts in words.items() if set(parts) & set(FORBIDDEN_NAMES)]


def test_roots_and_tests_are_no_packages_and_test_files_have_names_of_their_own() -> None:
    for folder in ("daemon", "protocol", "clients", "clients/python", "tests"):
        assert not (ROOT / folder / "__init__.py").exists()
    names = Counter(Path(name).name for name in python("tests/") if Path(name).name.startswith("test_"))
    assert not [name for name, count in names.items() if count > 1]
    assert not [name for name in tracked() if name.startswith("tests/") and name.endswith("__init__.py")]


# ---- vendors


VENDORS = re.compile(
    r"(?<![a-z])(anthropic|openai|claude|gpt|gemini|deepseek|qwen|dashscope|alibaba|glm|zhipu|kimi|moonshot|minimax|openrouter|groq"
    r"|cerebras|ollama|mistral|xai|grok|vertex|bedrock|azure)(?![a-z])",
    re.IGNORECASE,
)
VENDORS_MAY_STAND_IN = {
    "daemon/modeld/providers/catalog/": "the catalog is where vendors are data",
    "daemon/modeld/providers/wire/": "a wire is a vendor's own format",
    "daemon/modeld/simulator/": "it stands in for vendors",
    "daemon/modeld/cassettes/": "recorded traffic of vendors, and what to take out of it",
    "daemon/modeld/cli/": "first steps name the variables that hold keys, and servers that run on many machines",
    "daemon/modeld/credentials/redact.py": "the beginnings of keys, by which they are known",
    "daemon/modeld/config/wording.py": "the same, for what is never repeated",
    "daemon/modeld/providers/dialects/": "the forms in which models without tools write their calls",
}


def test_vendors_are_named_where_they_belong() -> None:
    allowed = tuple(VENDORS_MAY_STAND_IN)
    found = [
        f"{name}:{number}: {match.group()}"
        for name in python("daemon/", "protocol/", "clients/")
        if not name.startswith(allowed)
        for number, line in enumerate(text(name).splitlines(), 1)
        if (match := VENDORS.search(line))
    ]
    assert not found


def test_vendors_are_never_compared_with() -> None:
    """No code outside of wires and catalog asks which vendor it is."""
    found: list[str] = []
    for name in python("daemon/modeld/", "protocol/", "clients/"):
        if name.startswith(("daemon/modeld/providers/wire/", "daemon/modeld/providers/catalog/", "daemon/modeld/simulator/")):
            continue
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Compare):
                words = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                found += [f"{name}:{node.lineno}: {word}" for word in words if VENDORS.fullmatch(word)]
    assert not found


# ---- imports


EXTERNAL = {
    "msgspec": ("modeld", "modeld_protocol", "modeld_client"),
    "anyio": ("modeld_client",),
    "httptools": ("modeld.upstream.connection", "modeld.simulator.connection", "modeld.cassettes.loopback"),  # two of them serve
    "httpx": ("modeld.upstream.httpx_transport", "modeld.builder"),  # an embedder may bring a client
    "certifi": ("modeld.upstream.client",),
    "yaml": ("modeld.config.yaml_nodes", "modeld.simulator.script"),
    "watchfiles": ("modeld.config.watching",),
    "platformdirs": ("modeld.config.locations",),
    "keyring": ("modeld.credentials.sources",),
    "uvloop": ("modeld.app", "modeld.cli", "modeld.simulator.command"),
    "rich": ("modeld.cli",),
}
UNDECLARED = {"certifi": "comes with httpx"}


def imports() -> Iterator[tuple[str, int, str]]:
    """Module, line and what it imports from outside the tree and the standard library."""
    for package, root in PACKAGES.items():
        for name in python(f"{root}/{package}/"):
            module = name.removeprefix(f"{root}/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for node in ast.walk(tree(name)):
                if isinstance(node, ast.Import):
                    found = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found = [node.module or ""]
                else:
                    continue
                tops = {one.partition(".")[0] for one in found}
                yield from ((module, node.lineno, top) for top in tops - sys.stdlib_module_names - PACKAGES.keys())


def test_dependencies_are_imported_where_they_are_wrapped() -> None:
    def may(module: str, package: str) -> bool:
        return any(module == one or module.startswith(f"{one}.") for one in EXTERNAL.get(package, ()))

    assert not [f"{module}:{line}: {package}" for module, line, package in imports() if not may(module, package)]


def test_what_is_imported_is_declared_and_the_reverse() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    given = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[^A-Za-z0-9_.-]", one)[0].lower().replace("pyyaml", "yaml") for one in given}
    assert {package for _, _, package in imports()} - set(UNDECLARED) == names


CHANCE = {"random", "uuid", "secrets"}
READS_A_CLOCK = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "ctime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "os": {"urandom", "times"},
}
TELLS_NOW_WITHOUT = {"gmtime": 1, "localtime": 1, "strftime": 2, "asctime": 1}  # of so many arguments; with them it is arithmetic
CLOCK_AND_CHANCE_MAY_STAND_IN = {
    "daemon/modeld/clock.py": "it is where they come from",
    "daemon/modeld/server/peer.py": "the token of TCP is made once and has to be the system's best chance",
    "daemon/modeld/server/instance.py": "waits for another process before there is a loop",
    "daemon/modeld/server/forward.py": "a process of its own that has no loop",
    "daemon/modeld/cli/stop.py": "a command that waits for the daemon's process to end",
    "daemon/modeld/cli/demo/": "a client that shows a person what takes how long",
}


def _clock_or_chance(node: ast.AST) -> bool:
    """Whether a node brings time or chance in past the Clock."""
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in CHANCE for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in CHANCE or (node.module == "time" and not node.level)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        least = TELLS_NOW_WITHOUT.get(node.func.attr, 0) if node.func.value.id == "time" else 0
        return len(node.args) < least
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr in READS_A_CLOCK.get(node.value.id, ())
    return False


def test_time_and_chance_come_in_from_outside() -> None:
    found = [
        f"{name}:{node.lineno}"  # pyright: ignore[reportAttributeAccessIssue] - each of these nodes has one
        for name in python("daemon/", "protocol/")
        if not name.startswith(tuple(CLOCK_AND_CHANCE_MAY_STAND_IN))
        for node in ast.walk(tree(name))
        if _clock_or_chance(node)
    ]
    assert not found


def test_every_exception_to_time_and_chance_is_still_needed() -> None:
    for place in CLOCK_AND_CHANCE_MAY_STAND_IN:
        assert any(_clock_or_chance(node) for name in python(place) for node in ast.walk(tree(name))), place


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(ROOT / root) for root in PACKAGES.values())
    env = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_layers_hold() -> None:
    pytest.importorskip("importlinter", reason="needs import-linter; `make lint` has it")
    done = run_python("-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " 0 broken" in done.stdout


STARTS_WITHOUT = ("httpx", "pydantic", "rich", "pygls", "lsprotocol", "yaml", "watchfiles", "platformdirs", "keyring")


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("modeld.app", STARTS_WITHOUT),
        ("modeld.cli.serve", STARTS_WITHOUT),
        ("modeld.server.forward", (*STARTS_WITHOUT, "msgspec", "asyncio")),
        ("modeld_client", (*STARTS_WITHOUT, "modeld")),
        ("modeld_protocol.schema", (*STARTS_WITHOUT, "asyncio", "modeld", "modeld_client")),
    ],
)
def test_starting_imports_little(module: str, without: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {without!r} if name in sys.modules])"
    paths = os.pathsep.join([*(str(ROOT / root) for root in PACKAGES.values())])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# ---- what stands in files


NOT_TEXT = (".png", ".gif", ".ico", ".svg", ".bin", ".vsix", ".gz")
# Put together here, so that this file doesn't hold what it looks for.
PLACES = (r"/ho" + r"me/(?!me/)\w", "/Us" + r"ers/\w", "/ro" + "ot/", "/wo" + "rk/", r"C:\\" + "Users", "/op" + "t/venv")
HOSTS = (r"registry\." + r"[\w.-]+", "files.python" + "hosted", r"pypi\.org/" + "simple", "artifact" + "ory", "npm" + "mirror")
MAKING = (r"\(#" + r"\d+\)", "Co-Authored" + "-By", "Generated" + " with", r"\bas an " + r"AI\b")


@pytest.mark.parametrize("patterns", [PLACES, HOSTS, MAKING], ids=["machine paths", "registries", "how it was made"])
def test_the_tree_speaks_of_the_product_alone(patterns: tuple[str, ...]) -> None:
    pattern = re.compile("|".join(patterns))
    found = [
        f"{name}:{number}: {match.group()}"
        for name in tracked()
        if not name.endswith(NOT_TEXT)
        for number, line in enumerate(text(name).splitlines(), 1)
        if (match := pattern.search(line)) and not _is_code(match.group())
    ]
    assert not found


def _is_code(found: str) -> bool:
    """An attribute of a registry of models is no host."""
    return found.startswith("registry.") and not re.search(r"\.(org|com|net|io|dev)\b", found)


def test_locks_name_no_place() -> None:
    for name in tracked():
        if name.endswith("package-lock.json"):
            packages = json.loads(text(name))["packages"].values()
            assert not [package["resolved"] for package in packages if "resolved" in package], name


def test_json_files_are_json_and_files_end_with_a_line() -> None:
    for name in tracked():
        if name.endswith(".json"):
            json.loads(text(name))
        recorded = name.startswith("cassettes/")  # bytes as they came
        if name.endswith((".py", ".md", ".toml", ".json")) and text(name) and not recorded:
            assert text(name).endswith("\n"), name
