"""One suite for every row of the catalog: what a model declares passes, what it doesn't is refused before anything is sent.

`pytest -s` prints what each row can do, as it was proven: ✓, refused, or n.a. where the wire has no word for it.
"""

from collections.abc import AsyncIterator

import pytest
from tests.conformance.suite import conversation, failures, keeping, media, thinking, tools
from tests.conformance.suite.scenario import SCENARIOS, Scenario
from tests.conformance.suite.world import UNKNOWN_MODEL, Case, World, plain, running_world

from modeld.providers.catalog import known_types
from modeld.providers.failure import ProviderFailure
from modeld_protocol.model import ModelInfo

pytestmark = pytest.mark.anyio
assert all((conversation, failures, keeping, media, thinking, tools))  # importing them is what fills the list

Matrix = dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with running_world() as world:
        yield world


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest) -> AsyncIterator[Matrix]:
    found: Matrix = {}
    yield found
    if request.config.getoption("capture") == "no":
        print("\n" + render(found))


def render(matrix: Matrix) -> str:
    """Rows of the catalog across, scenarios down. `some`: only some of the row's models; the others are refused."""
    rows = list(dict.fromkeys(row for row, _ in matrix))
    width = max(len(name) for _, name in matrix)
    heads = [f"{'':{width}}  " + " ".join(f"{row[:9]:9}" for row in rows)]
    for name in dict.fromkeys(name for _, name in matrix):
        cells = [matrix.get((row, name), set()) for row in rows]
        words = ["some" if len(cell) > 1 else next(iter(cell), "") for cell in cells]
        heads.append(f"{name:{width}}  " + " ".join(f"{word:9}" for word in words).rstrip())
    return "\n".join(heads)


@pytest.mark.parametrize("row", known_types())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
async def test_scenario(world: World, matrix: Matrix, row: str, scenario: Scenario) -> None:
    for info in world.models_of(row):
        outcome = await proven(world, scenario, info)
        matrix.setdefault((row, scenario.name), set()).add(outcome)


async def proven(world: World, scenario: Scenario, info: ModelInfo) -> str:
    """What became of a scenario with one model, streamed and whole."""
    if info.wire in scenario.untold:
        return "n.a."
    cases = [Case(world, info, stream=stream) for stream in scenario.modes]
    declared = scenario.declared(info.capabilities)
    for case in cases:
        try:
            await (scenario.run(case) if declared else refused(case, scenario))
        except Exception as error:
            error.add_note(f"{info.id}, {'streamed' if case.stream else 'whole'}")
            raise
    if len(cases) == 2:
        assert_equal_answers(*cases)
    return "✓" if declared else "refused"


async def refused(case: Case, scenario: Scenario) -> None:
    """With a class, a next step, and without a word to the provider."""
    case.simulator.reset()
    with pytest.raises(ProviderFailure) as caught:
        await scenario.run(case)
    assert caught.value.error_class == "capability_mismatch", caught.value.message
    assert not caught.value.retryable
    assert case.sent() == [], "refused before anything is sent"


def assert_equal_answers(whole: Case, streamed: Case) -> None:
    """A stream says what the whole answer says, warnings and counts included."""
    for number, (one, other) in enumerate(zip(whole.replies, streamed.replies, strict=True)):
        assert plain(one.response.content) == plain(other.response.content), whole.info.id
        assert one.response.stop_reason == other.response.stop_reason
        # Later requests hold what came before, which a stream may have cut into other pieces.
        assert one.response.usage == other.response.usage or number > 0
        assert one.response.warnings == other.response.warnings
        assert one.received.numbered() == other.received.numbered()


async def test_the_lists_say_what_was_proven(world: World) -> None:
    """A provider's line of the matrix is what it can do with a model of which nothing else is known."""
    models = {info.id: info for info in world.runtime.models()}
    for provider in world.runtime.providers():
        assert provider.capabilities == models[f"{provider.name}:{UNKNOWN_MODEL}"].capabilities
    assert {provider.name for provider in world.runtime.providers()} == set(known_types())
