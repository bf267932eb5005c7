// Which files are models.yaml: the daemon's own, wherever it is, and every other that looks like one.
import * as path from 'node:path';
import * as vscode from 'vscode';
import { type Connection, LANGUAGE } from './connection';

const LOOKS_LIKE_OURS = /^adapters[ \t]*:/m;
const READ_CHARACTERS = 20_000;

/**
 * Gives models.yaml its language, whose features the daemon serves. The name alone isn't enough: other tools have files of
 * that name too, and none of theirs should be underlined.
 */
export function registerLanguage(context: vscode.ExtensionContext, connection: Connection): void {
  let own: string | undefined;
  const look = (document: vscode.TextDocument): void => {
    if (document.languageId !== 'yaml' && document.languageId !== 'plaintext') return;
    if (!isOurs(document, own)) return;
    void vscode.languages.setTextDocumentLanguage(document, LANGUAGE);
  };
  const lookAtAll = () => vscode.workspace.textDocuments.forEach(look);
  context.subscriptions.push(
    vscode.workspace.onDidOpenTextDocument(look),
    vscode.workspace.onDidSaveTextDocument(look),
    connection.onDidChangeState(async (state) => {
      if (state !== 'ready') return;
      own = (await connection.request('daemon/status', {}).catch(() => undefined))?.config_file ?? own;
      lookAtAll();
    }),
  );
  lookAtAll();
}

function isOurs(document: vscode.TextDocument, own: string | undefined): boolean {
  if (own !== undefined && document.uri.scheme === 'file' && document.uri.fsPath === own) return true;
  const name = path.posix.basename(document.uri.path);
  if (name !== 'models.yaml' && name !== 'models.yml') return false;
  return LOOKS_LIKE_OURS.test(document.getText().slice(0, READ_CHARACTERS));
}
