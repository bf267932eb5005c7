"""Where the config comes from, and how the one in force follows its file: swaps, refusals, deletions, links, bursts."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modeld.config import watching
from modeld.config.describe import describe_change
from modeld.config.layers import ConfigSurroundings, effective
from modeld.config.locations import ConfigPlace, config_place, default_config_path, state_dir
from modeld.config.reload import ConfigRefused, ConfigSource
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.credentials.secret import Secret
from modeld_protocol.config import ConfigChanged

BUILTIN = Config(adapters={"builtin": AdapterConfig("builtin", "openai")}, models={}, models_given=False)
SURROUNDINGS = ConfigSurroundings(("openai",), lambda _type: None, {}, lambda _env: BUILTIN)


def text_with(name: str) -> str:
    return f"adapters: {{openai: }}\nmodels:\n  openai:{name}: {{adapter: openai}}\n"


BROKEN = "adapters: {openai: {oops: 1}}\n"


def models_of(source: ConfigSource) -> list[str]:
    return [model_id.partition(":")[2] for model_id in source.config.models]


class Watched:
    """A source that is being watched, with what it told."""

    def __init__(self, source: ConfigSource) -> None:
        self.source = source
        self.told: list[tuple[ConfigChanged, str]] = []
        self._news = asyncio.Event()
        source.on_change = self._hear

    def _hear(self, changed: ConfigChanged, words: str) -> None:
        self.told.append((changed, words))
        self._news.set()

    async def until(self, reached: Callable[[], bool], within_s: float = 5.0) -> float:
        """Wait for news until `reached`; how long it took, in seconds."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(within_s):
            while not reached():
                self._news.clear()
                await self._news.wait()
        return loop.time() - started


@asynccontextmanager
async def watched(path: Path, *, required: bool = True) -> AsyncIterator[Watched]:
    state = Watched(ConfigSource.open(ConfigPlace(path, required), SURROUNDINGS))
    task = asyncio.create_task(state.source.watch())
    try:
        yield state
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def delete_and_write(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "config" / "models.yaml"
    place.parent.mkdir()
    place.write_text(text_with("first"))
    return place


# ---- layers and locations


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    env = {"MODELD_CONFIG": "/etc/models.yaml", "MODELD_STATE_DIR": "/var/state"}
    assert config_place("mine.yaml", env) == ConfigPlace(tmp_path / "mine.yaml", True)
    assert config_place("~/mine.yaml", env) == ConfigPlace(tmp_path / "mine.yaml", True)
    assert config_place("~nobody-has-this-name/x", env).path == tmp_path / "~nobody-has-this-name" / "x"
    assert config_place(None, env) == ConfigPlace(Path("/etc/models.yaml"), True)
    assert config_place(None, {"MODELD_CONFIG": ""}) == ConfigPlace(default_config_path(), False)
    assert default_config_path().parts[-2:] == ("modeld", "models.yaml")
    assert state_dir(None, env) == Path("/var/state")
    assert state_dir("here", env) == tmp_path / "here"
    assert state_dir(None, {}).name == "modeld"


def test_layers(path: Path) -> None:
    found = effective(ConfigPlace(path, False), SURROUNDINGS)
    assert SURROUNDINGS.check(path.read_bytes(), str(path)) == (found.config, [])
    assert (found.from_file, list(found.config.models if found.config else ())) == (True, ["openai:first"])
    path.unlink()
    assert effective(ConfigPlace(path, False), SURROUNDINGS).config is BUILTIN
    found = effective(ConfigPlace(path, True), SURROUNDINGS)
    assert (found.config, [problem.code for problem in found.problems]) == (None, ["missing_file"])
    path.write_text(BROKEN)
    assert effective(ConfigPlace(path, False), SURROUNDINGS).config is None


def test_a_broken_config_is_refused_at_start(path: Path) -> None:
    path.write_text(BROKEN)
    with pytest.raises(ConfigRefused) as refused:
        ConfigSource.open(ConfigPlace(path, False), SURROUNDINGS)
    assert [problem.code for problem in refused.value.problems] == ["unknown_field"]


# ---- following the file


@pytest.mark.anyio
@pytest.mark.parametrize("change", [write, replace, delete_and_write])
async def test_a_change_is_in_force_soon(path: Path, change: Callable[[Path, str], None]) -> None:
    async with watched(path) as state:
        await asyncio.sleep(0.5)  # until polling has slowed down
        change(path, text_with("second"))
        took_s = await state.until(lambda: models_of(state.source) == ["second"])
        assert took_s < 1.0  # what is promised; 60 ms on an idle machine
        assert [(told.applied, told.version) for told, _ in state.told] == [(True, 2)]
        assert state.told[0][1] == "model added: openai:second; model removed: openai:first"
        assert state.source.valid


@pytest.mark.anyio
@pytest.mark.parametrize("works", [True, False])
async def test_of_thirty_quick_writes_the_last_wins(path: Path, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    if not works:
        forbid_watching(monkeypatch)
    async with watched(path) as state:
        for number in range(10, 40):
            write(path, text_with(f"model-{number}"))
            await asyncio.sleep(0.01)
        await state.until(lambda: models_of(state.source) == ["model-39"])


@pytest.mark.anyio
async def test_an_invalid_change_keeps_the_last_good_config(path: Path) -> None:
    async with watched(path) as state:
        write(path, BROKEN)
        await state.until(lambda: bool(state.told))
        changed, words = state.told[-1]
        assert (changed.applied, changed.version, [p.code for p in changed.problems]) == (False, 1, ["unknown_field"])
        assert "stays" in words
        assert f"{path}:1:21:" in words
        assert (models_of(state.source), state.source.valid) == (["first"], False)
        write(path, text_with("first"))
        await state.until(lambda: state.source.valid)
        assert [(told.applied, told.version) for told, _ in state.told] == [(False, 1), (True, 1)]


@pytest.mark.anyio
@pytest.mark.parametrize("required", [True, False])
async def test_a_deleted_file_keeps_the_last_good_config(path: Path, required: bool) -> None:
    async with watched(path, required=required) as state:
        path.unlink()
        await state.until(lambda: bool(state.told))
        assert [problem.code for problem in state.told[-1][0].problems] == ["missing_file"]
        assert models_of(state.source) == ["first"]
        write(path, text_with("second"))
        await state.until(lambda: models_of(state.source) == ["second"])


@pytest.mark.anyio
async def test_a_directory_that_comes_later_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "later" / "models.yaml"
    async with watched(path, required=False) as state:
        assert (state.source.config, state.source.file) == (BUILTIN, None)
        path.parent.mkdir()
        write(path, text_with("first"))
        await state.until(lambda: models_of(state.source) == ["first"])
        assert state.source.file == path
        other = tmp_path / "other"
        other.mkdir()
        write(other / "models.yaml", text_with("second"))
        path.parent.rename(tmp_path / "gone")
        other.rename(path.parent)
        await state.until(lambda: models_of(state.source) == ["second"])
        write(path, text_with("third"))
        await state.until(lambda: models_of(state.source) == ["third"])


@pytest.mark.anyio
async def test_a_link_whose_target_changes_and_that_moves(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "links" / "models.yaml"
    link.parent.mkdir()
    link.symlink_to(path)
    async with watched(link) as state:
        await asyncio.sleep(0.3)
        write(path, text_with("second"))
        await state.until(lambda: models_of(state.source) == ["second"])
        write(tmp_path / "third.yaml", text_with("third"))
        beside = link.with_suffix(".new")
        beside.symlink_to(tmp_path / "third.yaml")
        beside.replace(link)
        await state.until(lambda: models_of(state.source) == ["third"])


@pytest.mark.anyio
async def test_polling_where_nothing_can_be_watched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_watching(monkeypatch)
    async with watched(path) as state:
        await asyncio.sleep(0.3)
        for change, name in ((write, "second"), (replace, "third"), (delete_and_write, "fourth")):
            change(path, text_with(name))
            await state.until(lambda name=name: models_of(state.source) == [name], within_s=2)


def forbid_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watching.Watcher, "_watch", fail)


@pytest.mark.anyio
async def test_the_system_tells_of_changes(path: Path) -> None:
    nudge = asyncio.Event()
    watcher = watching.Watcher(nudge)
    try:
        assert await watcher.cover(watching.look(path).directories)
        async with asyncio.timeout(5):
            while not nudge.is_set():  # the first ones may come before the watcher listens
                write(path, text_with("second"))
                await asyncio.sleep(0.05)
        assert watcher.works
        assert not await watcher.cover(watching.look(path).directories)
        assert await watcher.cover(frozenset())
        assert not watcher.works
    finally:
        await watcher.close()


@pytest.mark.anyio
async def test_a_touch_and_a_comment_tell_nothing(path: Path) -> None:
    async with watched(path) as state:
        write(path, text_with("first") + "# comment\n")
        os.utime(path)
        await asyncio.sleep(0.4)
        write(path, text_with("second"))
        await state.until(lambda: models_of(state.source) == ["second"])
        assert [told.version for told, _ in state.told] == [2]


@pytest.mark.anyio
async def test_reload_now(path: Path) -> None:
    source = ConfigSource.open(ConfigPlace(path, True), SURROUNDINGS)
    told: list[ConfigChanged] = []
    source.on_change = lambda changed, _words: told.append(changed)
    assert (await source.reload_now()).applied
    write(path, text_with("second"))
    result = await source.reload_now()
    assert (result.applied, result.version, models_of(source)) == (True, 2, ["second"])
    write(path, BROKEN)
    result = await source.reload_now()
    assert (result.applied, result.version, len(result.problems), models_of(source)) == (False, 2, 1, ["second"])
    assert [changed.applied for changed in told] == [True, False]


@pytest.mark.anyio
async def test_a_snapshot_outlives_its_file(path: Path) -> None:
    source = ConfigSource.open(ConfigPlace(path, True), SURROUNDINGS)
    kept = source.snapshot
    write(path, text_with("second"))
    await source.reload_now()
    assert list(kept.config.models) == ["openai:first"]
    assert source.snapshot is not kept


def test_changes_in_words_hold_no_values() -> None:
    old = Config(
        {"a": AdapterConfig("a", "openai", api_key=Secret("CANARY"), max_retries=1), "b": AdapterConfig("b", "openai")},
        {"a:m": ModelConfig("a:m", "a", "m")},
        "a:m",
    )
    new = Config(
        {"a": AdapterConfig("a", "openai", api_key=Secret("CANARY2"), max_retries=2), "c": AdapterConfig("c", "openai")},
        {"a:m": ModelConfig("a:m", "a", "m2")},
        None,
        models_given=False,
    )
    assert describe_change(old, new) == (
        "adapter added: c; adapter removed: b; adapter a changed: api_key, max_retries; model a:m changed: wire_name; "
        "default_model changed; models come from the catalog"
    )
    assert describe_change(old, old) == "nothing changed"
