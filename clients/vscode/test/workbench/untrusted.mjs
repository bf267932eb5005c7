// A folder that nobody trusts: the extension works, and nothing that the folder says is honoured.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Client } from './client.mjs';
import { openWorkbench, showView } from './drive.mjs';
import { connected } from './main-window.mjs';
import { MODELD, startServer, wait, writeSettings } from './machine.mjs';
import * as at from './selectors.mjs';

export async function checkUntrusted({ place, checks, page }) {
  const folder = path.join(place.base, 'untrusted');
  const trap = path.join(folder, 'trap.sh');
  const sprung = path.join(place.out, 'sprung');
  fs.mkdirSync(path.join(folder, '.vscode'), { recursive: true });
  fs.writeFileSync(trap, `#!/bin/sh\ntouch '${sprung}'\nexec '${MODELD}' "$@"\n`, { mode: 0o755 });
  fs.writeFileSync(path.join(folder, '.vscode/settings.json'), JSON.stringify({ 'modeld.path': trap, 'modeld.config': path.join(folder, 'models.yaml') }));
  fs.writeFileSync(path.join(folder, 'models.yaml'), `adapters:\n  evil: {type: openai-compatible, base_url: 'http://127.0.0.1:9/v1', api_key_command: '${trap}'}\nmodels:\n  evil:model: {adapter: evil, wire_name: m}\n`);
  writeSettings(place, {
    user: { 'security.workspace.trust.enabled': true, 'security.workspace.trust.startupPrompt': 'never', 'security.workspace.trust.banner': 'never' },
    machine: { 'modeld.path': MODELD },
  });
  const server = await startServer(place, { trust: true, env: { MODELD_TEST_OUT: place.out } });

  await checks.check(page, 'an untrusted folder is served, and not obeyed', async () => {
    await openWorkbench(page, server.url, folder);
    await page.locator(at.restricted).first().waitFor({ timeout: 20_000 });
    await connected(page);
    const other = await Client.connect(place, 'terminal');
    await other.request('session/create', { metadata: { title: 'Seen from afar' } });
    await showView(page);
    await page.locator(at.treeRow, { hasText: 'Seen from afar' }).first().waitFor();
    const { models } = await other.request('model/list', {});
    assert.ok(!models.some((model) => model.id.startsWith('evil:')), 'the folder\'s models.yaml is not the daemon\'s');
    await wait(500); // whoever obeys does so while it starts
    assert.ok(!fs.existsSync(sprung), 'the folder\'s program was started');
    other.close();
  });
  server.stop();
}
