// What surrounds the connection: where the program is, settings, keys, files that are models.yaml, commands, activation.
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { findProgram, lastLines, type Surroundings } from '../../src/launch';
import { isVariable } from '../../src/secrets';
import { settings } from '../../src/settings';
import { connected, extension, until } from './extension';

describe('the program', () => {
  const at = (files: string[], env: Record<string, string> = {}, platform: NodeJS.Platform = 'linux'): Surroundings => ({
    env,
    home: '/me',
    platform,
    runnable: (file) => files.includes(file),
  });

  it('is what the setting says, and nothing else then', () => {
    assert.equal(findProgram('/opt/modeld', at(['/opt/modeld'])), '/opt/modeld');
    assert.equal(findProgram('~/bin/modeld', at(['/me/bin/modeld'])), '/me/bin/modeld');
    assert.equal(findProgram('/gone/modeld', at(['/usr/bin/modeld'], { PATH: '/usr/bin' })), undefined);
    assert.equal(findProgram('modeld-next', at(['/b/modeld-next'], { PATH: '/a:/b' })), '/b/modeld-next');
  });

  it('is found on the PATH, then where installers put programs', () => {
    assert.equal(findProgram('', at(['/b/modeld', '/me/.local/bin/modeld'], { PATH: '/a:/b' })), '/b/modeld');
    assert.equal(findProgram('', at(['/me/.local/bin/modeld'], { PATH: '/a' })), '/me/.local/bin/modeld');
    assert.equal(findProgram('', at([], { PATH: '/a' })), undefined);
  });

  it('is never looked for relative to a folder that is open', () => {
    const everywhere: Surroundings = { ...at([]), env: { PATH: '.:bin::/safe' }, runnable: (file) => !path.isAbsolute(file) };
    assert.equal(findProgram('', everywhere), undefined);
    assert.equal(findProgram('./modeld', { ...everywhere, runnable: () => true }), undefined);
  });

  it('says why it ended in its own sentences', () => {
    assert.equal(lastLines('Traceback\nmodeld: the reason\n'), 'the reason');
    assert.equal(lastLines('only this\n\n'), 'only this');
    assert.equal(lastLines(''), '');
  });
});

describe('settings', () => {
  it('of a workspace are not read', async () => {
    const folder = vscode.workspace.workspaceFolders?.[0];
    assert.ok(folder);
    const file = vscode.Uri.joinPath(folder.uri, '.vscode', 'settings.json');
    const before = settings();
    await vscode.workspace.fs.writeFile(
      file,
      Buffer.from(JSON.stringify({ 'modeld.path': '/evil/modeld', 'modeld.model': 'evil' })),
    );
    try {
      await new Promise((resolve) => setTimeout(resolve, 500)); // the editor reads the file again, or doesn't: nothing may change
      assert.deepEqual(settings(), before);
    } finally {
      await vscode.workspace.fs.delete(file);
    }
  });
});

describe('keys', () => {
  it('are lent to the daemon, which uses them, and stand in no file', async () => {
    const { keys, connection } = await connected();
    const config = (await connection.request('daemon/status', {})).config_file ?? '';
    const before = fs.readFileSync(config, 'utf8');
    const [, address] = /sim: \{type: anthropic, base_url: '([^']+)'/.exec(before) ?? [];
    const secret = 'sk-test-0123456789abcdef';
    const added = [
      `  lent: {type: anthropic, base_url: '${address}', api_key_env: MODELD_TEST_LENT}`,
      'models:',
      '  lent:echo: {adapter: lent, wire_name: sim-echo}',
    ];
    fs.writeFileSync(config, before.replace(/^models:$/m, added.join('\n')));
    try {
      assert.equal((await connection.request('config/reload', {})).applied, true);
      const offered = async () => (await vscode.lm.selectChatModels({ vendor: 'modeld', id: 'lent:echo' })).length > 0;
      assert.equal(await offered(), false);
      await keys.set('MODELD_TEST_LENT', secret);
      assert.deepEqual(await keys.names(), ['MODELD_TEST_LENT']);
      await until(offered, 'the model that has a key now');
      const { content } = await connection.request('model/complete', { model: 'lent:echo', messages: 'with a lent key' });
      assert.deepEqual(content, [{ type: 'text', text: 'with a lent key' }]);
      assert.deepEqual(filesWith(secret), []);
    } finally {
      fs.writeFileSync(config, before);
      await keys.remove('MODELD_TEST_LENT');
    }
    assert.deepEqual(await keys.all(), {});
    await until(() => connection.state === 'ready', 'the connection without it');
  });

  it('have the names of variables', async () => {
    assert.deepEqual(['A_KEY', '_x', '1a', 'a b', '', 'A=B'].map(isVariable), [true, true, false, false, false, false]);
    const { keys } = await extension();
    await assert.rejects(keys.set('A=B', 'x'), /can't be the name of a variable/);
  });
});

/** Files of this user and of the daemon that hold a text. The browser's own storage, where secrets are, is elsewhere. */
function filesWith(text: string): string[] {
  const roots = [process.env['HOME'], process.env['MODELD_STATE_DIR'], process.env['MODELD_RUNTIME_DIR']].filter(
    (root) => root !== undefined,
  );
  assert.ok(roots.length > 0);
  return roots.flatMap((root) =>
    fs
      .readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .filter((file) => fs.readFileSync(file).includes(text)),
  );
}

describe('models.yaml', () => {
  let folder: string;
  before(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'modeld-files-'))));
  after(async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    fs.rmSync(folder, { recursive: true, force: true });
  });

  async function open(name: string, text: string): Promise<vscode.Uri> {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    const document = await vscode.workspace.openTextDocument(file);
    return document.uri;
  }

  const languageOf = (uri: vscode.Uri) =>
    vscode.workspace.textDocuments.find((document) => document.uri.toString() === uri.toString())?.languageId;

  it('has its language by its content, or its place', async () => {
    await connected();
    const ours = await open('a/models.yaml', 'adapters:\n  a: {type: ollama}\n');
    await until(() => languageOf(ours) === 'modeld', 'the language');
    assert.equal(languageOf(await open('modeld/models.yaml', '')), 'modeld');
  });

  it('of another tool stays what it is', async () => {
    const theirs = await open('b/models.yaml', 'models:\n  - name: regression\n');
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(languageOf(theirs), 'yaml');
  });
});

describe('the extension', () => {
  it('is active within 300 ms of its own time', async () => {
    const { activatedIn } = await extension();
    console.log(`loading and activation took ${activatedIn.toFixed(1)} ms`);
    assert.ok(activatedIn < 300, `${activatedIn} ms`);
  });

  it('has every command that it declares', async () => {
    await extension();
    const declared = vscode.extensions.getExtension('modeld.modeld')?.packageJSON.contributes.commands as { command: string }[];
    const there = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !there.has(command)),
      [],
    );
  });

  it('shows the connection and the cost in the status bar', async () => {
    const { statusBar, connection } = await connected();
    await connection.request('model/complete', { model: 'sim:text', messages: 'x' });
    await until(() => /\$\d/.test(statusBar.text), 'the cost');
  });

  it('reloads and checks the config', async () => {
    const { connection } = await connected();
    assert.equal((await connection.request('config/check', {})).valid, true);
    const { valid, problems } = await connection.request('config/check', { text: 'adapters: [' });
    assert.deepEqual([valid, problems.length > 0], [false, true]);
    assert.equal((await connection.request('config/reload', {})).applied, true);
  });
});
