// The window that most checks happen in: a trusted folder, the daemon started by the extension itself.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { MODELD, modeld, startServer, until, writeSettings } from './machine.mjs';
import { notifications, openWorkbench } from './drive.mjs';
import * as at from './selectors.mjs';

export async function openMain(stage) {
  const { place, checks, page } = stage;
  fs.writeFileSync(path.join(place.workspace, 'README.md'), '# A folder\n');
  writeSettings(place, { machine: { 'modeld.path': MODELD } });
  const server = await startServer(place, { env: { MODELD_TEST_OUT: place.out } });
  stage.url = server.url;
  await checks.check(page, 'the extension starts the daemon', async () => {
    await openWorkbench(page, server.url, place.workspace);
    await connected(page);
    await until(() => JSON.parse(modeld(place, 'status', '--json')).clients >= 1, 'the extension to be a client of the daemon');
    assert.deepEqual(await notifications(page), [], 'nothing is complained about');
  });
  return server;
}

/** Waits until the status bar says that the extension is connected. */
export async function connected(page, timeout_ms = 30_000) {
  const item = page.locator(`${at.statusItem} [aria-label*="modeld connected"], ${at.statusItem}[aria-label*="modeld connected"]`).first();
  await item.waitFor({ timeout: timeout_ms });
}
