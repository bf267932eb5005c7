"""The params that Visual Studio Code's language client sends with `initialize`, as its current version writes them."""

from typing import Any

_SYMBOL_KINDS = list(range(1, 27))
_RESOLVABLE = {"dynamicRegistration": True, "linkSupport": True}
_TOKEN_TYPES = [
    *("namespace", "type", "class", "enum", "interface", "struct", "typeParameter", "parameter", "variable", "property"),
    *("enumMember", "event", "function", "method", "macro", "keyword", "modifier", "comment", "string", "number", "regexp"),
    *("operator", "decorator", "label"),
]

WORKSPACE = {
    "applyEdit": True,
    "workspaceEdit": {
        "documentChanges": True,
        "resourceOperations": ["create", "rename", "delete"],
        "failureHandling": "textOnlyTransactional",
        "normalizesLineEndings": True,
        "changeAnnotationSupport": {"groupsOnLabel": True},
        "metadataSupport": True,
        "snippetEditSupport": True,
    },
    "configuration": True,
    "didChangeWatchedFiles": {"dynamicRegistration": True, "relativePatternSupport": True},
    "symbol": {
        "dynamicRegistration": True,
        "symbolKind": {"valueSet": _SYMBOL_KINDS},
        "tagSupport": {"valueSet": [1]},
        "resolveSupport": {"properties": ["location.range"]},
    },
    "codeLens": {"refreshSupport": True},
    "executeCommand": {"dynamicRegistration": True},
    "didChangeConfiguration": {"dynamicRegistration": True},
    "workspaceFolders": True,
    "foldingRange": {"refreshSupport": True},
    "semanticTokens": {"refreshSupport": True},
    "fileOperations": {
        "dynamicRegistration": True,
        **dict.fromkeys(["didCreate", "didRename", "didDelete", "willCreate", "willRename", "willDelete"], True),
    },
    "inlineValue": {"refreshSupport": True},
    "inlayHint": {"refreshSupport": True},
    "diagnostics": {"refreshSupport": True},
    "textDocumentContent": {"dynamicRegistration": True},
}

TEXT_DOCUMENT = {
    "publishDiagnostics": {
        "relatedInformation": True,
        "versionSupport": False,
        "tagSupport": {"valueSet": [1, 2]},
        "codeDescriptionSupport": True,
        "dataSupport": True,
    },
    "synchronization": {"dynamicRegistration": True, "willSave": True, "willSaveWaitUntil": True, "didSave": True},
    "completion": {
        "dynamicRegistration": True,
        "contextSupport": True,
        "completionItem": {
            "snippetSupport": True,
            "commitCharactersSupport": True,
            "documentationFormat": ["markdown", "plaintext"],
            "deprecatedSupport": True,
            "preselectSupport": True,
            "tagSupport": {"valueSet": [1]},
            "insertReplaceSupport": True,
            "resolveSupport": {"properties": ["documentation", "detail", "additionalTextEdits"]},
            "insertTextModeSupport": {"valueSet": [1, 2]},
            "labelDetailsSupport": True,
        },
        "insertTextMode": 2,
        "completionItemKind": {"valueSet": list(range(1, 26))},
        "completionList": {
            "itemDefaults": ["commitCharacters", "editRange", "insertTextFormat", "insertTextMode", "data"],
            "applyKindSupport": True,
        },
    },
    "hover": {"dynamicRegistration": True, "contentFormat": ["markdown", "plaintext"]},
    "signatureHelp": {
        "dynamicRegistration": True,
        "signatureInformation": {
            "documentationFormat": ["markdown", "plaintext"],
            "parameterInformation": {"labelOffsetSupport": True},
            "activeParameterSupport": True,
            "noActiveParameterSupport": True,
        },
        "contextSupport": True,
    },
    "definition": _RESOLVABLE,
    "references": {"dynamicRegistration": True},
    "documentHighlight": {"dynamicRegistration": True},
    "documentSymbol": {
        "dynamicRegistration": True,
        "symbolKind": {"valueSet": _SYMBOL_KINDS},
        "hierarchicalDocumentSymbolSupport": True,
        "tagSupport": {"valueSet": [1]},
        "labelSupport": True,
    },
    "codeAction": {
        "dynamicRegistration": True,
        "isPreferredSupport": True,
        "disabledSupport": True,
        "dataSupport": True,
        "resolveSupport": {"properties": ["edit", "command"]},
        "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix", "refactor", "refactor.extract", "source"]}},
        "honorsChangeAnnotations": True,
    },
    "codeLens": {"dynamicRegistration": True, "resolveSupport": {"properties": ["command"]}},
    "formatting": {"dynamicRegistration": True},
    "rangeFormatting": {"dynamicRegistration": True, "rangesSupport": True},
    "onTypeFormatting": {"dynamicRegistration": True},
    "rename": {
        "dynamicRegistration": True,
        "prepareSupport": True,
        "prepareSupportDefaultBehavior": 1,
        "honorsChangeAnnotations": True,
    },
    "documentLink": {"dynamicRegistration": True, "tooltipSupport": True},
    "typeDefinition": _RESOLVABLE,
    "implementation": _RESOLVABLE,
    "colorProvider": {"dynamicRegistration": True},
    "foldingRange": {
        "dynamicRegistration": True,
        "rangeLimit": 5000,
        "lineFoldingOnly": True,
        "foldingRangeKind": {"valueSet": ["comment", "imports", "region"]},
        "foldingRange": {"collapsedText": False},
    },
    "declaration": _RESOLVABLE,
    "selectionRange": {"dynamicRegistration": True},
    "callHierarchy": {"dynamicRegistration": True},
    "semanticTokens": {
        "dynamicRegistration": True,
        "tokenTypes": _TOKEN_TYPES,
        "tokenModifiers": ["declaration", "definition", "readonly", "static", "deprecated", "abstract", "async"],
        "formats": ["relative"],
        "requests": {"range": True, "full": {"delta": True}},
        "multilineTokenSupport": False,
        "overlappingTokenSupport": False,
        "serverCancelSupport": True,
        "augmentsSyntaxTokens": True,
    },
    "linkedEditingRange": {"dynamicRegistration": True},
    "typeHierarchy": {"dynamicRegistration": True},
    "inlineValue": {"dynamicRegistration": True},
    "inlayHint": {"dynamicRegistration": True, "resolveSupport": {"properties": ["tooltip", "textEdits"]}},
    "diagnostic": {"dynamicRegistration": True, "relatedDocumentSupport": False},
    "inlineCompletion": {"dynamicRegistration": True},
}

PARAMS: dict[str, Any] = {
    "processId": 4711,
    "clientInfo": {"name": "Visual Studio Code", "version": "1.104.0"},
    "locale": "de",
    "rootPath": "/workspace",
    "rootUri": "file:///workspace",
    "capabilities": {
        "workspace": WORKSPACE,
        "textDocument": TEXT_DOCUMENT,
        "window": {
            "showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}},
            "showDocument": {"support": True},
            "workDoneProgress": True,
        },
        "general": {
            "staleRequestSupport": {"cancel": True, "retryOnContentModified": ["textDocument/semanticTokens/full"]},
            "regularExpressions": {"engine": "ECMAScript", "version": "ES2020"},
            "markdown": {"parser": "marked", "version": "1.1.0"},
            "positionEncodings": ["utf-16"],
        },
        "notebookDocument": {"synchronization": {"dynamicRegistration": True, "executionSummarySupport": True}},
    },
    "initializationOptions": {"modeld": {"protocol_versions": [1], "client_id": "vscode", "trusted": False}},
    "trace": "off",
    "workspaceFolders": [{"uri": "file:///workspace", "name": "workspace"}],
    "workDoneToken": "0d7f2f0e-6c0c-4d3d-9c6b-4f6f0b2f3c11",
}

EMPTY_WINDOW: dict[str, Any] = {
    **PARAMS,
    "processId": None,
    "rootPath": None,
    "rootUri": None,
    "workspaceFolders": None,
    "initializationOptions": None,
}
