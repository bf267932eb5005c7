// The daemon's models through the editor's own API, as any extension sees them.
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as vscode from 'vscode';
import type { Api } from '../../src/extension';
import { connected, until } from './extension';

let api: Api;

async function model(id: string): Promise<vscode.LanguageModelChat> {
  const [found] = await vscode.lm.selectChatModels({ vendor: 'modeld', id });
  assert.ok(found, `${id} is not offered`);
  return found;
}

const user = (text: string) => vscode.LanguageModelChatMessage.User(text);

interface Heard {
  parts: unknown[];
  times: number[];
  text: string;
}

async function hear(response: vscode.LanguageModelChatResponse, each?: (heard: Heard) => void): Promise<Heard> {
  const heard: Heard = { parts: [], times: [], text: '' };
  const begun = performance.now();
  for await (const part of response.stream) {
    heard.parts.push(part);
    heard.times.push(performance.now() - begun);
    if (part instanceof vscode.LanguageModelTextPart) heard.text += part.value;
    each?.(heard);
  }
  return heard;
}

async function ask(id: string, text: string, options: vscode.LanguageModelChatRequestOptions = {}): Promise<Heard> {
  return hear(await (await model(id)).sendRequest([user(text)], options));
}

const TOOL: vscode.LanguageModelChatTool = {
  name: 'read_file',
  description: 'Reads a file',
  inputSchema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
};

describe('models', () => {
  before(async () => {
    api = await connected();
    await until(async () => (await vscode.lm.selectChatModels({ vendor: 'modeld' })).length > 0, 'the models');
  });

  it('are all that the daemon has, with their limits and abilities', async () => {
    const { models } = await api.connection.request('model/list', {});
    const offered = await vscode.lm.selectChatModels({ vendor: 'modeld' });
    assert.deepEqual(offered.map(({ id }) => id).sort(), models.map(({ id }) => id).sort());
    assert.ok(offered.every(({ maxInputTokens }) => maxInputTokens > 0));
  });

  it('stream their text', async () => {
    const { text, parts } = await ask('sim:echo', 'two and two');
    assert.match(text, /two and two/);
    assert.ok(parts.length > 0);
  });

  it('send the first part at once and later ones apart, so that none waits for a burst', async () => {
    const { text, parts, times } = await ask('sim:long', 'go on');
    const texts = parts.filter((part) => part instanceof vscode.LanguageModelTextPart);
    assert.ok(text.length > 1_000);
    assert.ok(texts.length < 2_000, `${texts.length} parts`);
    assert.ok(times[0] !== undefined && times[0] < 2_000);
  });

  it('bring tool calls, and take their results', async () => {
    const chat = await model('sim:tool');
    const asked = [user('read it')];
    const { parts } = await hear(await chat.sendRequest(asked, { tools: [TOOL] }));
    const calls = parts.filter((part) => part instanceof vscode.LanguageModelToolCallPart);
    const [call] = calls;
    assert.ok(call, 'no call came');
    assert.ok(call.callId && call.name);
    assert.equal(typeof call.input, 'object');
    const history = [
      ...asked,
      vscode.LanguageModelChatMessage.Assistant(calls),
      vscode.LanguageModelChatMessage.User(
        calls.map(
          ({ callId }) => new vscode.LanguageModelToolResultPart(callId, [new vscode.LanguageModelTextPart('the content')]),
        ),
      ),
    ];
    const after = await hear(await chat.sendRequest(history, { tools: [TOOL] }));
    assert.ok(after.parts.length > 0);
  });

  it('give reasoning back signed, though the consumer passes over it', async () => {
    const chat = await model('sim:thinking-tool');
    const asked = [user('read it')];
    const { parts } = await hear(await chat.sendRequest(asked, { tools: [TOOL] }));
    const calls = parts.filter((part) => part instanceof vscode.LanguageModelToolCallPart);
    assert.ok(calls.length, 'no call came');
    const results = calls.map(
      ({ callId }) => new vscode.LanguageModelToolResultPart(callId, [new vscode.LanguageModelTextPart('x')]),
    );
    const history = [...asked, vscode.LanguageModelChatMessage.Assistant(calls), vscode.LanguageModelChatMessage.User(results)];
    await hear(await chat.sendRequest(history, { tools: [TOOL] })); // the simulated provider refuses calls without their thinking
  });

  it('show their thinking where the editor has parts for it, closed by its mark', async () => {
    const { parts } = await ask('sim:thinking', 'think');
    const kind = (vscode as unknown as { LanguageModelThinkingPart?: new (...all: never[]) => object }).LanguageModelThinkingPart;
    if (kind === undefined) return;
    const thinking = parts.filter((part) => part instanceof kind) as unknown as {
      value: string;
      metadata?: Record<string, unknown>;
    }[];
    assert.ok(thinking.some(({ value }) => value.length > 0));
    const end = thinking.at(-1)?.metadata;
    assert.equal(end?.['vscode_reasoning_done'], true);
    assert.match(String(end?.['modeld']), /"thinking"/);
  });

  it('tell what was used, in the form that the chat of the editor reads', async () => {
    const { parts } = await ask('sim:cached', 'hello');
    const data = parts.find((part) => (part as { mimeType?: string }).mimeType === 'usage') as { data: Uint8Array } | undefined;
    const usage = JSON.parse(new TextDecoder().decode(data?.data)) as Record<string, number>;
    const { rows } = await api.connection.request('usage/query', { limit: 1 });
    const spent = rows[0]?.usage;
    assert.equal(usage['total_tokens'], spent?.total_tokens);
    assert.equal(usage['completion_tokens'], spent?.output_tokens);
  });

  it('take images', async () => {
    const Data = (vscode as unknown as { LanguageModelDataPart?: { image(data: Uint8Array, mime: string): unknown } })
      .LanguageModelDataPart;
    if (Data === undefined) return;
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    );
    const content = [
      new vscode.LanguageModelTextPart('what is this'),
      Data.image(png, 'image/png'),
    ] as vscode.LanguageModelTextPart[];
    const chat = await model('sim:echo');
    const { text } = await hear(await chat.sendRequest([vscode.LanguageModelChatMessage.User(content)]));
    assert.match(text, /what is this/);
  });

  it('name the extension that calls, in the ledger', async () => {
    await ask('sim:text', 'whose');
    const { rows } = await api.connection.request('usage/query', { limit: 1 });
    assert.equal(rows[0]?.client_id, 'vscode/modeld.modeld');
  });

  it('leave out what options they do not know', async () => {
    const { text } = await ask('sim:echo', 'plain', {
      modelOptions: { _conversationId: 'x', _enableThinking: true, temperature: 0.5 },
    });
    assert.match(text, /plain/);
  });

  it('stop at the provider when they are cancelled', async () => {
    const source = new vscode.CancellationTokenSource();
    const chat = await model('sim:slow');
    const response = await chat.sendRequest([user('on and on')], {}, source.token);
    let heard = 0;
    const listening = hear(response, ({ parts }) => {
      heard = parts.length;
      source.cancel();
    });
    await assert.rejects(listening, { message: 'Canceled' });
    assert.equal(heard, 1);
    await until(async () => (await api.connection.request('daemon/status', {})).running_calls === 0, 'the call to end');
    const { rows } = await api.connection.request('usage/query', { limit: 1 });
    assert.equal(rows[0]?.status, 'cancelled');
  });

  it('fail with the words of the daemon', async () => {
    await assert.rejects(
      ask('sim:overloaded', 'x'),
      (error: Error) => error.message.length > 10 && !/-32803/.test(error.message),
    );
  });

  it('are refused to an extension that the config does not allow, with words how to allow it', async () => {
    const config = (await api.connection.request('daemon/status', {})).config_file ?? '';
    const before = fs.readFileSync(config, 'utf8');
    const inForce = async (text: string) => {
      fs.writeFileSync(config, text);
      assert.equal((await api.connection.request('config/reload', {})).applied, true);
    };
    await inForce(`${before}\nclients:\n  vscode: {allow: [someone.else]}\n`);
    try {
      await assert.rejects(ask('sim:echo', 'x'), { code: 'NoPermissions', message: /modeld\.modeld.*clients\.vscode\.allow/ });
      await inForce(`${before}\nclients:\n  vscode: {allow: [modeld.*]}\n`);
      assert.match((await ask('sim:echo', 'allowed')).text, /allowed/);
    } finally {
      await inForce(before);
    }
  });

  it('count tokens', async () => {
    const chat = await model('sim:echo');
    const [few, many] = await Promise.all([chat.countTokens('hello'), chat.countTokens('hello '.repeat(100))]);
    assert.ok(few > 0 && many > 50 && many < 1_000, `${few}, ${many}`);
    assert.ok((await chat.countTokens(user('hello'))) > 0);
  });
});
