// The machine of a test: a closed home, a simulated provider, a daemon's directories, VS Code on loopback and a browser.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const EXTENSION = path.resolve(import.meta.dirname, '../..');
const REPO = path.resolve(EXTENSION, '../..');
const cache = execFileSync(path.join(EXTENSION, 'test/setup.sh'), ['--print'], { encoding: 'utf8' }).trim();
if (!fs.existsSync(path.join(cache, 'paths.json'))) {
  console.error('No VS Code to test with: run clients/vscode/test/setup.sh first (make test-vscode does).');
  process.exit(2);
}
const installed = JSON.parse(fs.readFileSync(path.join(cache, 'paths.json'), 'utf8'));
const { chromium } = createRequire(installed.playwright)('playwright-core');
export const MODELD = process.env.MODELD ?? path.join(REPO, '.venv/bin/modeld');

const USER_SETTINGS = {
  'telemetry.telemetryLevel': 'off', 'workbench.enableExperiments': false, 'update.mode': 'none',
  'extensions.autoUpdate': false, 'extensions.autoCheckUpdates': false, 'extensions.ignoreRecommendations': true,
  'workbench.startupEditor': 'none', 'security.workspace.trust.enabled': false, 'git.enabled': false,
  'workbench.tips.enabled': false, 'chat.agentHost.enabled': false, 'workbench.colorTheme': 'Default Dark Modern',
  'workbench.secondarySideBar.defaultVisibility': 'hidden', 'window.newWindowDimensions': 'default',
  'chat.allowAnonymousAccess': true, // the built-in chat without an account
};

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until `probe` gives something truthy; a probe that throws has given nothing. */
export async function until(probe, what, timeout_ms = 20_000) {
  const deadline = Date.now() + timeout_ms;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeout_ms / 1000} s for ${what}${last ? `: ${last.message}` : ''}`);
    await wait(50);
  }
}

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const statusOf = (url) => new Promise((resolve) => {
  http.get(url, (response) => { response.resume(); resolve(response.statusCode); }).on('error', () => resolve(0));
});

const cleanups = [];
let cleaned = false;
/** Ends everything that was started here, last first; nothing is left running, however the driver ends. */
export function cleanUp() {
  if (cleaned) return;
  cleaned = true;
  for (const cleanup of cleanups.reverse()) {
    try { cleanup(); } catch { /* it has ended already */ }
  }
}
process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

function killGroup(child) {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    try { process.kill(-child.pid, signal); } catch { return; }
    if (signal === 'SIGTERM') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  }
}

/** A fresh set of directories below the system's temporary one, removed at the end unless MODELD_TEST_KEEP is set. */
export function makePlace() {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'modeld-vsc-'));
  const place = { base };
  for (const name of ['home', 'data', 'extensions', 'workspace', 'browser', 'out', 'run', 'state']) {
    place[name] = path.join(base, name);
    fs.mkdirSync(place[name], { mode: 0o700 });
  }
  place.config = path.join(place.home, 'models.yaml');
  cleanups.push(() => { if (!process.env.MODELD_TEST_KEEP) fs.rmSync(base, { recursive: true, force: true, maxRetries: 3 }); });
  return place;
}

/** The environment of everything that is started: own home, own runtime directory, no proxy, no gallery. */
export function environment(place, more = {}) {
  return {
    PATH: `${path.dirname(installed.node)}:/usr/local/bin:/usr/bin:/bin`, HOME: place.home, LANG: 'C.UTF-8', TMPDIR: place.out,
    XDG_DATA_HOME: `${place.home}/.local/share`, XDG_CONFIG_HOME: `${place.home}/.config`, XDG_CACHE_HOME: `${place.home}/.cache`,
    XDG_STATE_HOME: `${place.home}/.local/state`, EXTENSIONS_GALLERY: '{"serviceUrl":""}',
    MODELD_CONFIG: place.config, MODELD_STATE_DIR: place.state, MODELD_RUNTIME_DIR: place.run,
    ...more,
  };
}

/** `modeld simulate`, and a models.yaml that has what the checks need. */
export async function startSimulator(place) {
  const out = fs.openSync(path.join(place.out, 'simulator.log'), 'a');
  const child = spawn(MODELD, ['simulate', '--port', '0', '--json', '--scenario', path.join(import.meta.dirname, 'scenario.yaml')], { env: environment(place), stdio: ['ignore', 'pipe', out], detached: true });
  cleanups.push(() => killGroup(child));
  let text = '';
  child.stdout.on('data', (chunk) => { text += chunk; });
  child.on('error', (error) => { text = JSON.stringify({ error: error.message }); });
  const urls = JSON.parse(await until(() => /^.*\n/.exec(text)?.[0], 'the simulator to say where it listens'));
  fs.writeFileSync(place.config, fs.readFileSync(path.join(import.meta.dirname, 'models.yaml'), 'utf8')
    .replaceAll('{anthropic}', urls.anthropic).replaceAll('{openai}', urls.openai));
  cleanups.push(() => { try { modeld(place, 'stop', '--force'); } catch { /* no daemon runs */ } });
  return urls;
}

/** Runs a modeld command to its end; gives what it wrote. */
export function modeld(place, ...args) {
  return execFileSync(MODELD, args, { env: environment(place), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 });
}

export function writeSettings(place, { user = {}, machine = {} } = {}) {
  for (const [where, settings] of [['User', { ...USER_SETTINGS, ...user }], ['Machine', machine]]) {
    fs.mkdirSync(path.join(place.data, where), { recursive: true });
    fs.writeFileSync(path.join(place.data, where, 'settings.json'), JSON.stringify(settings, null, 1));
  }
}

const serverArguments = (place) => ['--user-data-dir', place.data, '--extensions-dir', place.extensions];
export function installExtension(place, vsix) {
  execFileSync(installed.node, [installed.code_server, ...serverArguments(place), '--install-extension', vsix],
    { env: environment(place), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
}

/** VS Code's server. `guard.cjs` is in every Node process of it: it notes and refuses every connection that leaves the machine. */
export async function startServer(place, { args = [], env = {}, trust = false } = {}) {
  const port = await freePort();
  const log = fs.openSync(path.join(place.out, 'server.log'), 'a');
  const child = spawn(installed.node, [installed.code_server, '--auth', 'none', '--bind-addr', `127.0.0.1:${port}`,
    '--disable-telemetry', '--disable-update-check', '--disable-getting-started-override', '--ignore-last-opened',
    ...(trust ? [] : ['--disable-workspace-trust']), ...serverArguments(place), ...args, place.workspace], {
    env: environment(place, {
      NODE_OPTIONS: `--require=${path.join(import.meta.dirname, 'guard.cjs')}`, MODELD_TEST_GUARD: path.join(place.out, 'guard.log'), ...env,
    }),
    stdio: ['ignore', log, log], detached: true,
  });
  cleanups.push(() => killGroup(child));
  await until(async () => await statusOf(`http://127.0.0.1:${port}/healthz`) === 200, 'VS Code to answer', 60_000);
  return { url: `http://127.0.0.1:${port}/`, host: `127.0.0.1:${port}`, pid: child.pid, stop: () => killGroup(child) };
}

/** A browser that can resolve no name; `outside` collects what it asked of any other host. */
export async function startBrowser(place) {
  const context = await chromium.launchPersistentContext(place.browser, {
    executablePath: installed.browser, headless: true, viewport: { width: 1280, height: 800 }, locale: 'en-US',
    env: environment(place),
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  });
  const page = context.pages()[0] ?? await context.newPage();
  page.setDefaultTimeout(15_000);
  const outside = new Set();
  const note = (request) => {
    const url = new URL(request.url());
    if (/^(http|ws)/.test(url.protocol) && url.hostname !== '127.0.0.1') outside.add(url.origin);
  };
  context.on('requestfailed', note);
  context.on('requestfinished', async (request) => {
    if (!(await request.response())?.fromServiceWorker()) note(request); // files of webviews have a host's name and come from the page's own worker
  });
  return { context, page, outside };
}

/** A host that no name server knows; the checks' own attempt to leave. */
export const LEAK = 'leak.example.invalid';

/** What Node processes tried to reach outside, and which processes were watched. */
export function readGuard(place) {
  const lines = fs.readFileSync(path.join(place.out, 'guard.log'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  return { watched: lines.filter((line) => line.watching), outside: lines.filter((line) => line.target) };
}
