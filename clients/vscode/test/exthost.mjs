// Runs the mocha suites inside VS Code's extension host, from the source tree: no package, no installation.
import fs from 'node:fs';
import path from 'node:path';
import { EXTENSION, MODELD, cleanUp, makePlace, startBrowser, startServer, startSimulator, writeSettings } from './workbench/machine.mjs';

const TIMEOUT_MS = 180_000;
const started = Date.now();
const suites = path.join(EXTENSION, 'dist/test/index.js');
if (!fs.existsSync(suites)) {
  console.error(`${suites} isn't there: run npm run build:tests first (make test-vscode does).`);
  process.exit(2);
}
const place = makePlace();
writeSettings(place, { machine: { 'modeld.path': MODELD } });
await startSimulator(place);
const result = path.join(place.out, 'mocha.json');
const server = await startServer(place, {
  args: ['--vscode-option', 'enable-smoke-test-driver'],
  env: { MOCHA_RESULT: result, MODELD_TEST_MODELD: MODELD, MOCHA_GREP: process.env.MOCHA_GREP ?? '' },
});
const { context, page } = await startBrowser(place);
const ended = new Promise((resolve) => { page.exposeFunction('codeAutomationExit', resolve); });
await page.exposeFunction('codeAutomationLog', (type, args) => { if (process.env.VERBOSE) console.log(type, args.join(' ')); });
const remote = (file) => `vscode-remote://${server.host}${file}`;
const url = new URL(server.url);
url.searchParams.set('folder', place.workspace);
url.searchParams.set('payload', JSON.stringify([
  ['extensionDevelopmentPath', remote(EXTENSION)], ['extensionTestsPath', remote(suites)],
  ['skipWelcome', 'true'], ['skipReleaseNotes', 'true'],
]));
await page.goto(url.href);
const code = await Promise.race([ended, new Promise((resolve) => { setTimeout(resolve, TIMEOUT_MS, 'no end within three minutes'); })]);
if (fs.existsSync(result)) console.log(fs.readFileSync(result, 'utf8'));
await context.close();
console.log(`mocha in the extension host: ${code === 0 ? 'passed' : `failed (${code})`} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
cleanUp();
process.exit(code === 0 ? 0 : 1);
