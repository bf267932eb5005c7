"""The README says what the code does: its table is the catalog's, its commands, links and methods exist, its configs hold."""

import re
from pathlib import Path

from scripts.update_readme import README, updated

from modeld.cli.names import COMMANDS
from modeld.cli.surroundings import surroundings
from modeld_client import Client, Session, Sessions

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


def test_every_config_shown_is_one(tmp_path: Path) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert shown
    for text in shown:
        file = tmp_path / "models.yaml"
        file.write_text(text, "utf-8")
        config, problems = surroundings().load(file)
        assert config is not None, problems


def test_every_method_shown_exists() -> None:
    """Of sessions and clients, in the Python examples."""
    shown = set(re.findall(r"\b(?:session|client|other)\.([a-z_]+)\(", TEXT)) | set(re.findall(r"sessions\.([a-z_]+)\(", TEXT))
    assert shown
    assert all(hasattr(Session, name) or hasattr(Client, name) or hasattr(Sessions, name) for name in shown)
