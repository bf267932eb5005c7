// Another extension: streams from modeld's models through VS Code's own API, offers a tool, and can try to reach outside.
'use strict';
const fs = require('node:fs');
const vscode = require('vscode');

/** What happened goes to a file, for the driver to read. */
async function report(name, work) {
  const out = { at: Date.now() };
  try {
    Object.assign(out, await work());
  } catch (error) {
    out.error = { name: error.name, code: error.code, message: error.message, language_model: error instanceof vscode.LanguageModelError };
  }
  const file = `${process.env.MODELD_TEST_OUT}/consumer-${name}.json`;
  fs.writeFileSync(`${file}.new`, JSON.stringify(out));
  fs.renameSync(`${file}.new`, file);
}

/** What came, also where it ended early. */
async function ask(id, text, { onPart, token } = {}) {
  const models = await vscode.lm.selectChatModels({ vendor: 'modeld' });
  const model = models.find((one) => one.id === id);
  if (!model) throw new Error(`no model ${id} among ${models.map((one) => one.id).join(', ')}`);
  const started = Date.now();
  const parts = [];
  let cancelled = false;
  try {
    const response = await model.sendRequest([vscode.LanguageModelChatMessage.User(text)], { justification: 'a test' }, token);
    for await (const part of response.text) {
      parts.push({ text: part, ms: Date.now() - started });
      onPart?.(parts.length);
    }
  } catch (error) {
    if (!token?.isCancellationRequested) throw error;
    cancelled = true;
  }
  return { models: models.length, cancelled, parts: parts.length, text: parts.map((part) => part.text).join(''), first_ms: parts[0]?.ms, last_ms: parts.at(-1)?.ms };
}

exports.activate = (context) => {
  const on = (name, work) => vscode.commands.registerCommand(`consumer.${name}`, () => report(name, work));
  context.subscriptions.push(
    on('ask', () => ask('sim:slow', 'hello from another extension')),
    on('cancel', async () => {
      const source = new vscode.CancellationTokenSource();
      const result = await ask('sim:slow', 'a long answer', { onPart: (parts) => parts === 3 && source.cancel(), token: source.token });
      return { ...result, cancelled: source.token.isCancellationRequested };
    }),
    on('failing', () => ask('refusing:denied', 'anything')),
    on('leak', () => fetch('http://leak.example.invalid/').then(() => ({ reached: true }))),
    vscode.lm.registerTool('consumer_weather', {
      invoke: (options) => {
        fs.appendFileSync(`${process.env.MODELD_TEST_OUT}/tool-calls.jsonl`, `${JSON.stringify(options.input)}\n`);
        return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart('sunny, 21 degrees')]);
      },
    }),
  );
};
