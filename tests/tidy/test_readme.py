"""The README says what the code does: its table is the catalog's, its commands and links exist."""

import re
from pathlib import Path

from scripts.update_readme import README, updated

from modeld.cli.names import COMMANDS

ROOT = Path(__file__).parents[2]
TEXT = README.read_text("utf-8")


def test_the_table_of_providers_is_the_catalogs() -> None:
    assert updated(TEXT) == TEXT, "run scripts/update_readme.py"


def test_every_command_named_exists() -> None:
    named = set(re.findall(r"modeld ([a-z]+)", TEXT)) - {"import"}
    assert named <= set(COMMANDS), named - set(COMMANDS)


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", TEXT)) <= targets


def test_every_link_into_the_tree_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert links
    assert all((ROOT / link).exists() for link in links)
