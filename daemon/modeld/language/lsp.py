"""LSP's shapes as far as they are used here, with LSP's names on the wire. https://microsoft.github.io/language-server-protocol
3.17, read 2026-11."""

import msgspec

from .text import Change, Position, Range

ERROR, WARNING = 1, 2
MARKDOWN = "markdown"
QUICK_FIX = "quickfix"
AS_IS = 1  # InsertTextMode: the text has its indent already

# CompletionItemKind
MODULE, PROPERTY, VALUE, REFERENCE, ENUM_MEMBER, CONSTANT = 9, 10, 12, 18, 20, 21
# SymbolKind
SYMBOL_MODULE, SYMBOL_NAMESPACE, SYMBOL_CLASS, SYMBOL_CONSTANT = 2, 3, 5, 14


class Wire(msgspec.Struct, rename="camel", omit_defaults=True):
    """What all of them share."""


# ---- from clients


class DocumentItem(Wire):
    """TextDocumentItem."""

    uri: str
    text: str
    language_id: str = ""
    version: int = 0


class DocumentId(Wire):
    """TextDocumentIdentifier, versioned or not."""

    uri: str
    version: int | None = None


class OpenParams(Wire):
    """DidOpenTextDocumentParams."""

    text_document: DocumentItem


class ChangeParams(Wire):
    """DidChangeTextDocumentParams."""

    text_document: DocumentId
    content_changes: list[Change]


class DocumentParams(Wire):
    """Params that name a document alone."""

    text_document: DocumentId


class PositionParams(Wire):
    """TextDocumentPositionParams."""

    text_document: DocumentId
    position: Position


class ReferenceContext(Wire):
    """Whether definitions count as references."""

    include_declaration: bool = True


class ReferenceParams(Wire):
    """ReferenceParams."""

    text_document: DocumentId
    position: Position
    context: ReferenceContext = msgspec.field(default_factory=ReferenceContext)


class RenameParams(Wire):
    """RenameParams."""

    text_document: DocumentId
    position: Position
    new_name: str


class ActionContext(Wire):
    """CodeActionContext; what diagnostics the client shows doesn't matter, the text is looked at again."""

    only: list[str] | None = None


class ActionParams(Wire):
    """CodeActionParams."""

    text_document: DocumentId
    range: Range
    context: ActionContext = msgspec.field(default_factory=ActionContext)


# ---- to clients


class Diagnostic(Wire):
    """Diagnostic."""

    range: Range
    severity: int
    code: str
    source: str
    message: str


class PublishDiagnostics(Wire):
    """PublishDiagnosticsParams."""

    uri: str
    diagnostics: list[Diagnostic]
    version: int | None = None


class Markup(Wire):
    """MarkupContent."""

    kind: str
    value: str


class Hover(Wire):
    """Hover."""

    contents: Markup
    range: Range | None = None


class TextEdit(Wire):
    """TextEdit."""

    range: Range
    new_text: str


class CompletionItem(Wire):
    """CompletionItem."""

    label: str
    kind: int
    text_edit: TextEdit
    detail: str | None = None
    documentation: Markup | None = None
    sort_text: str | None = None
    filter_text: str | None = None
    insert_text_mode: int | None = None


class CompletionList(msgspec.Struct, rename="camel"):
    """CompletionList, whose every member is required."""

    items: list[CompletionItem]
    is_incomplete: bool = False


class WorkspaceEdit(Wire):
    """WorkspaceEdit of one document."""

    changes: dict[str, list[TextEdit]]


class CodeAction(Wire):
    """CodeAction."""

    title: str
    kind: str
    edit: WorkspaceEdit
    diagnostics: list[Diagnostic]
    is_preferred: bool = False


class Location(Wire):
    """Location."""

    uri: str
    range: Range


class DocumentSymbol(Wire):
    """DocumentSymbol."""

    name: str
    kind: int
    range: Range
    selection_range: Range
    detail: str | None = None
    children: "list[DocumentSymbol]" = []


class PreparedRename(Wire):
    """The range of a name, and the name."""

    range: Range
    placeholder: str
