"""models.yaml as a language: what an editor is told about a text. Plain functions over plain data; the server calls them."""


class CannotRename(ValueError):
    """A name that something can't have; says why, and what to do."""
