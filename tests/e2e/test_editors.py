"""Real editors with the configs that their pages in docs/editors give: diagnostics at the exact place, hover, completion."""

import asyncio
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs" / "editors"
TEXT = """\
adapters:
  openai: {"😀é": 1, api_key_env: MODELD_TEST_KEY}
models:
  openai:gpt-5.5: {adapter: openai, aliases: [big]}
default_model: big
"""
ASK_NEOVIM = """
local function ask(method, line, character, more)
  local params = { textDocument = { uri = vim.uri_from_bufnr(0) }, position = { line = line, character = character } }
  for _, answer in pairs(vim.lsp.buf_request_sync(0, method, vim.tbl_extend("force", params, more or {}), 5000) or {}) do
    return answer.result
  end
end
local function codes()
  return vim.tbl_map(function(one)
    local code = one.code or one.user_data.lsp.code
    return { code, one.lnum, one.col, one.end_lnum, one.end_col }
  end, vim.diagnostic.get(0))
end
local seen = {}
local ok, message = pcall(function()
  vim.wait(15000, function() return #vim.diagnostic.get(0) > 0 end, 20)
  seen.diagnostics = codes()
  seen.omnifunc = vim.bo.omnifunc
  seen.hover = ask("textDocument/hover", 4, 16).contents.value
  seen.completion = vim.tbl_map(function(one) return one.label end, ask("textDocument/completion", 3, 30).items)
  seen.definition = ask("textDocument/definition", 4, 16)[1].range.start
  vim.api.nvim_buf_set_text(0, 1, 11, 1, 24, {})
  vim.wait(15000, function() return #vim.diagnostic.get(0) == 0 end, 20)
  seen.cleared = codes()
end)
seen.message = not ok and tostring(message) or nil
vim.fn.writefile({ vim.fn.json_encode(seen) }, vim.env.SEEN)
vim.cmd("qa!")
"""


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess("adapters: {openai: {api_key_env: MODELD_TEST_KEY}}\n") as daemon:
        yield daemon


@pytest.fixture
def desk(daemon: DaemonProcess, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with a broken models.yaml, and an environment in which `modeld` is a command."""
    command = tmp_path / "bin" / "modeld"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m modeld "$@"\n')
    command.chmod(0o755)
    (tmp_path / "models.yaml").write_text(TEXT)
    path = os.pathsep.join((str(command.parent), daemon.env["PATH"]))
    return tmp_path, {**daemon.env, "PATH": path, "HOME": str(tmp_path), "TERM": "xterm-256color"}


def config_of(page: str, language: str, number: int = 0) -> str:
    """A block of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)[number]


async def test_neovim(desk: tuple[Path, dict[str, str]]) -> None:
    if shutil.which("nvim") is None:
        pytest.skip("needs Neovim (Debian: neovim)")
    folder, env = desk
    seen = await _run_neovim(folder, env)
    assert "message" not in seen, seen["message"]
    assert seen["diagnostics"] == [["unknown_field", 1, 11, 1, 19]]  # Neovim counts bytes
    assert seen["omnifunc"] == "v:lua.vim.lsp.omnifunc"
    assert "**openai:gpt-5.5**" in seen["hover"]
    assert seen["completion"] == ["openai"]
    assert seen["definition"] == {"line": 3, "character": 46}
    assert seen["cleared"] == []


async def _run_neovim(folder: Path, env: dict[str, str]) -> Any:
    version = await asyncio.create_subprocess_exec("nvim", "--version", stdout=asyncio.subprocess.PIPE, env=env)
    said = (await version.communicate())[0].decode()
    found = re.search(r"v0\.(\d+)", said)
    number = 1 if found and int(found[1]) < 8 else 0
    (folder / "init.lua").write_text(config_of("neovim.md", "lua", number))
    (folder / "ask.lua").write_text(ASK_NEOVIM)
    env = {**env, "SEEN": str(folder / "seen.json")}
    process = await asyncio.create_subprocess_exec(
        *("nvim", "--headless", "-u", "init.lua", "-i", "NONE", "models.yaml", "-c", "luafile ask.lua"),
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output = (await process.communicate())[0]
    assert (folder / "seen.json").exists(), output.decode()
    return json.loads((folder / "seen.json").read_text())


class Terminal:
    """A program in a terminal of its own, by tmux: keys in, the screen out."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    async def tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("tmux", "-S", str(self.folder / "tmux"), "-f", "/dev/null", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self.env,
        )
        return (await process.communicate())[0].decode("utf-8", "replace")

    async def start(self, command: str) -> None:
        given = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items() if name.isidentifier())
        (self.folder / "start.sh").write_text(f"{given}cd {shlex.quote(str(self.folder))}\nexec {command}\n")
        await self.tmux("new-session", "-d", "-x", "150", "-y", "40", "sh", str(self.folder / "start.sh"))

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.tmux("send-keys", key)

    async def until(self, *words: str, without: str | None = None) -> str:
        """Wait until the screen shows all of `words` and nothing of `without`."""
        screen = ""
        for _ in range(300):
            screen = await self.tmux("capture-pane", "-p")
            if all(word in screen for word in words) and (without is None or without not in screen):
                return screen
            await asyncio.sleep(0.05)
        raise AssertionError(f"waited for {words} without {without}:\n{screen}")


async def test_helix(desk: tuple[Path, dict[str, str]]) -> None:
    if shutil.which("hx") is None or shutil.which("tmux") is None:
        pytest.skip("needs Helix (hx) and tmux")
    folder, env = desk
    config = folder / ".config" / "helix" / "languages.toml"
    config.parent.mkdir(parents=True)
    config.write_text(config_of("helix.md", "toml"))
    terminal = Terminal(folder, {**env, "XDG_CONFIG_HOME": str(folder / ".config"), "LC_ALL": "C.UTF-8"})
    await terminal.start("hx models.yaml")
    try:
        await terminal.until("default_model: big", "● 1 ")
        await terminal.press(":", "2", "Enter")
        await terminal.until(" 2:1")
        await terminal.press("1", "0", "l")
        assert "unknown field" not in await terminal.until(" 2:11")
        await terminal.press("l")
        await terminal.until(" 2:12", "unknown field")
        await terminal.press(":", "5", "Enter")
        await terminal.until(" 5:1")
        await terminal.press("g", "l", "Space", "k")
        await terminal.until("openai:gpt-5.5\n", "Limits in tokens: context")
        await terminal.press("Escape")
        await terminal.until(" 5:18", without="Limits in tokens")
        await terminal.press("o")
        await terminal.until(" INS ")
        await terminal.press("b", "u", "d")
        await terminal.until("budgets   property")
    finally:
        await terminal.tmux("kill-server")
