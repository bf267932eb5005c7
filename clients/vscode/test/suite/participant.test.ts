// `@modeld` in the chat of the editor, asked as a person asks it; what it did is read from the daemon.
import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { Api } from '../../src/extension';
import { connected, until } from './extension';

let api: Api;

async function ask(query: string): Promise<void> {
  const modelSelector = { vendor: 'modeld', id: 'sim:echo' }; // else it is up to the editor which of ours it picks
  await vscode.commands.executeCommand('workbench.action.chat.open', { query, modelSelector, blockOnResponse: true });
}

const calls = async () => (await api.connection.request('usage/query', { client_id: 'vscode', limit: 1_000 })).rows.length;
const sessions = async () => (await api.connection.request('session/list', {})).sessions;

describe('@modeld', () => {
  before(async () => {
    api = await connected();
    await vscode.commands.executeCommand('workbench.action.chat.newChat');
  });
  after(() => vscode.commands.executeCommand('workbench.action.chat.newChat'));

  it('answers, and keeps the conversation as a session in which it goes on', async () => {
    const before = await calls();
    await ask('@modeld tell me a thing');
    await until(async () => (await calls()) === before + 1, 'the first call');
    await ask('@modeld /session A title of mine');
    const [session] = await until(async () => {
      const found = await sessions();
      return found.length ? found : undefined;
    }, 'the session').then((found) => found ?? []);
    assert.ok(session);
    assert.equal(session.metadata?.['title'], 'A title of mine');
    const history = () => api.connection.request('session/get', { session_id: session.session_id });
    await until(async () => (await history()).messages.length === 2, 'the conversation so far');
    await ask('@modeld and another');
    await until(async () => (await history()).messages.length === 4, 'the turn in the session');
    const { messages } = await history();
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant', 'user', 'assistant'],
    );
  });

  it('answers what the daemon knows without a call', async () => {
    const before = await calls();
    for (const question of ['models', 'usage 3', 'handoff other:echo']) await ask(`@modeld /${question}`);
    assert.equal(await calls(), before);
  });
});
