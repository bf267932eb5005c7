// The checks in a real VS Code: the packaged extension, a real daemon, a simulated provider. Exits 1 when one fails.
//   --pictures   keep the pictures in test/screenshots     --only PATTERN   the checks whose names match (those they need too)
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { EXTENSION, cleanUp, installExtension, makePlace, startBrowser, startSimulator } from './workbench/machine.mjs';
import { Checks } from './workbench/drive.mjs';
import { checkBroken } from './workbench/broken.mjs';
import { checkChat, checkConsumer } from './workbench/chat.mjs';
import { checkEditor } from './workbench/editor.mjs';
import { checkDeath, checkNothingLeft } from './workbench/survival.mjs';
import { checkUntrusted } from './workbench/untrusted.mjs';
import { checkViews } from './workbench/views.mjs';
import { openMain } from './workbench/main-window.mjs';

const argument = (name) => (process.argv.includes(name) ? (process.argv[process.argv.indexOf(name) + 1] ?? '') : undefined);
const started = Date.now();
const vsix = process.env.MODELD_VSIX ?? path.join(EXTENSION, 'modeld.vsix');
if (!fs.existsSync(vsix)) {
  console.error(`${vsix} isn't there: run make vsix first.`);
  process.exit(2);
}
const place = makePlace();
const consumer = path.join(place.out, 'consumer.vsix');
execFileSync(path.join(EXTENSION, 'node_modules/.bin/vsce'), ['package', '--no-dependencies', '--allow-missing-repository', '--skip-license', '-o', consumer],
  { cwd: path.join(EXTENSION, 'test/consumer'), stdio: ['ignore', 'pipe', 'pipe'] });
const simulator = await startSimulator(place);
installExtension(place, vsix);
installExtension(place, consumer);
const browser = await startBrowser(place);
const kept = process.argv.includes('--pictures');
const checks = new Checks(kept ? path.join(EXTENSION, 'test/screenshots') : path.join(place.out, 'pictures'), argument('--only'));
const stage = { place, simulator, browser, checks, page: browser.page };

try {
  const server = await openMain(stage);
  await checkEditor(stage);
  await checkViews(stage);
  await checkDeath(stage);
  await checkConsumer(stage);
  await checkNothingLeft(stage);
  await checkChat(stage);
  server.stop();
  await checkUntrusted(stage);
  await checkBroken(stage);
} catch (error) {
  checks.results.push({ name: 'the run itself', ok: false, ms: 0, error: error.message });
  console.log(`FAIL the run itself: ${error.stack}`);
}
await browser.context.close();
const failed = checks.failed.length;
if (failed && !kept) {
  const last = path.join(path.dirname(place.base), 'modeld-vscode-failed');
  fs.rmSync(last, { recursive: true, force: true });
  for (const folder of [place.out, place.state, path.join(place.data, 'logs')]) {
    fs.cpSync(folder, path.join(last, path.basename(folder)), { recursive: true, filter: (file) => !/\.sock$/.test(file) });
  }
  console.log(`pictures and logs: ${last}`);
}
console.log(`${checks.results.length - failed} of ${checks.results.length} checks in VS Code passed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
cleanUp();
process.exit(failed ? 1 : 0);
