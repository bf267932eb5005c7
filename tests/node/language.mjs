// An editor made with vscode-languageserver-protocol: opens the text that stands on stdin as models.yaml, and prints what it is told.
// Usage: node language.mjs <command> <arguments...>
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import * as rpc from "vscode-languageserver-protocol/node";

const URI = "file:///somewhere/models.yaml";
const written = await text(process.stdin);
const server = spawn(process.argv[2], process.argv.slice(3), { stdio: ["pipe", "pipe", "inherit"] });
const connection = rpc.createProtocolConnection(
  new rpc.StreamMessageReader(server.stdout),
  new rpc.StreamMessageWriter(server.stdin),
);
const published = [];
let wake = () => {};
connection.onNotification(rpc.PublishDiagnosticsNotification.type, (params) => {
  published.push(params.diagnostics);
  wake();
});
async function next() {
  while (published.length === 0) await new Promise((resolve) => (wake = resolve));
  return published.shift();
}
connection.listen();

await connection.sendRequest(rpc.InitializeRequest.type, { processId: process.pid, rootUri: null, capabilities: {} });
await connection.sendNotification(rpc.InitializedNotification.type, {});
await connection.sendNotification(rpc.DidOpenTextDocumentNotification.type, {
  textDocument: { uri: URI, languageId: "yaml", version: 1, text: written },
});
const diagnostics = await next();
const textDocument = { uri: URI };
const hover = await connection.sendRequest(rpc.HoverRequest.type, { textDocument, position: { line: 4, character: 16 } });
const completion = await connection.sendRequest(rpc.CompletionRequest.type, {
  textDocument,
  position: { line: 3, character: 30 },
});
const actions = await connection.sendRequest(rpc.CodeActionRequest.type, {
  textDocument,
  range: diagnostics[0].range,
  context: { diagnostics },
});
const edit = actions[0].edit.changes[URI][0];
await connection.sendNotification(rpc.DidChangeTextDocumentNotification.type, {
  textDocument: { uri: URI, version: 2 },
  contentChanges: [{ range: edit.range, text: edit.newText }],
});
const cleared = await next();
await connection.sendRequest(rpc.ShutdownRequest.type);
await connection.sendNotification(rpc.ExitNotification.type);
console.log(
  JSON.stringify({
    diagnostics: diagnostics.map(({ code, range: { start, end } }) => [
      code,
      start.line,
      start.character,
      end.line,
      end.character,
    ]),
    hover: hover.contents.value,
    completion: completion.items.map((item) => item.label),
    action: actions[0].title,
    cleared,
  }),
);
process.exit(0);
