// Daemons that are broken on purpose: each is told of in words that say what to do.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { openWorkbench } from './drive.mjs';
import { startServer, writeSettings } from './machine.mjs';
import * as at from './selectors.mjs';

const CASES = [
  { how: 'start', name: 'a daemon that ends at its start', says: /another program holds the socket/i, offers: ['Reconnect', 'Show Log'] },
  { how: 'request', name: 'a daemon that ends on every request', says: /ends again and again[^]*sessions file is damaged/i, offers: ['Reconnect', 'Show Log'] },
  { how: 'version', name: 'a daemon of another protocol version', says: /no common protocol version[^]*update the older one/i, offers: ['Choose Path'] },
  { how: 'missing', name: 'no daemon at all', says: /modeld\.path is .*no program is there/, offers: ['Install', 'Choose Path'] },
  { how: 'silent', name: 'a daemon that never answers', says: /did not answer within \d+ s/, offers: ['Reconnect', 'Show Log'] },
];

export async function checkBroken({ place, checks, page }) {
  const server = await startServer(place, { env: { MODELD_TEST_OUT: place.out } });
  const use = (how) => {
    const program = path.join(place.out, `modeld-${how}`);
    if (how !== 'missing') {
      const run = `exec '${process.execPath}' '${path.join(import.meta.dirname, 'broken-daemon.mjs')}' ${how} "$@"`;
      fs.writeFileSync(program, `#!/bin/sh\n${run}\n`, { mode: 0o755 });
    }
    writeSettings(place, { machine: { 'modeld.path': program } });
  };
  for (const { how, name, says, offers } of CASES) {
    await checks.check(page, name, async () => {
      use(how);
      await openWorkbench(page, server.url, place.workspace);
      const told = page.locator(at.notification).filter({ hasText: says }).first();
      await told.waitFor({ timeout: 40_000 });
      const text = await told.innerText();
      for (const offer of offers) assert.match(text, new RegExp(offer));
      await page.locator(at.statusItem).filter({ hasText: /not connected|incompatible|not installed/ }).first().waitFor();
    });
  }
  server.stop();
}
