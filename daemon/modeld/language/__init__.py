"""models.yaml as a language: what an editor is told about a text. Plain functions over plain data; the server calls them."""
