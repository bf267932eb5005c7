// The connection: daemons that are missing, broken, gone and back; requests meanwhile.
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { Connection, type State, type Surroundings } from '../../src/connection';
import { FAILED, LOST, NOT_CONNECTED, type RequestFailed, SILENT } from '../../src/failure';
import type { Timing } from '../../src/timing';
import { connected, until } from './extension';

const FAKE = path.resolve(__dirname, '../../test/suite/fake-daemon.cjs');
const FAST: Timing = {
  handshake: 1_500,
  quick: 400,
  probe: 200,
  retries: [10, 20],
  reconnects: [10, 20, 40, 80],
  settled: 1_000,
};

let log: vscode.LogOutputChannel;
let made: Connection[] = [];
let starts: string;

function connection(behaviour: string, more: Partial<Surroundings> = {}): Connection {
  const around = {
    log,
    keys: () => Promise.resolve({}),
    timing: FAST,
    program: () => ({ command: process.execPath, args: [FAKE, behaviour, starts] }),
    ...more,
  };
  const one = new Connection(around);
  made.push(one);
  return one;
}

const started = () => (fs.existsSync(starts) ? fs.readFileSync(starts, 'utf8').trim().split('\n').length : 0);
const pid = () => Number(fs.readFileSync(starts, 'utf8').trim().split('\n').at(-1));

function statesOf(one: Connection): State[] {
  const states: State[] = [];
  one.onDidChangeState((state) => states.push(state));
  return states;
}

async function failure(promise: Promise<unknown>): Promise<RequestFailed> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.equal((error as Error | undefined)?.name, 'RequestFailed', String(error)); // the bundle of tests has a class of its own
  return error as RequestFailed;
}

before(() => (log = vscode.window.createOutputChannel('modeld test', { log: true })));
after(() => log.dispose());

describe('connection', () => {
  beforeEach(() => {
    starts = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'modeld-fake-')), 'starts');
    made = [];
  });
  afterEach(() => {
    for (const one of made) one.dispose();
    fs.rmSync(path.dirname(starts), { recursive: true, force: true });
  });

  const BROKEN: [behaviour: string, state: State, starts: number, words: RegExp][] = [
    ['crashes', 'failed', 3, /^The state directory belongs to somebody else; run chown\.$/],
    ['no-daemon', 'failed', 3, /^The daemon did not start: models\.yaml can not be read\.$/],
    ['silent', 'failed', 1, /did not answer within 2 s.*modeld stop --force/],
    ['refuses', 'incompatible', 1, /No common protocol version.*Update/],
    ['stranger', 'incompatible', 1, /not modeld, or too old.*modeld\.path/],
  ];
  for (const [behaviour, state, times, words] of BROKEN) {
    it(`says what is wrong with a daemon that ${behaviour}`, async () => {
      const one = connection(behaviour);
      const begun = Date.now();
      await one.start();
      assert.ok(Date.now() - begun < 5_000, 'it takes too long');
      assert.equal(one.state, state);
      assert.match(one.problem ?? '', words);
      assert.equal(started(), times);
      const refused = await failure(one.request('model/list', {}));
      assert.equal(refused.code, NOT_CONNECTED);
      assert.match(refused.message, words);
    });
  }

  it('says that modeld is not installed, once and without a pause', async () => {
    const one = connection('', { program: () => undefined });
    const states = statesOf(one);
    await one.start();
    assert.deepEqual([one.state, states], ['missing', ['missing']]);
    assert.match(one.problem ?? '', /not installed/);
  });

  it('a program that can not be run is a failure with words', async () => {
    const one = connection('', { program: () => ({ command: path.join(os.tmpdir(), 'no-such-program'), args: [] }) });
    await one.start();
    assert.equal(one.state, 'failed');
    assert.match(one.problem ?? '', /ENOENT/);
  });

  it('tells the daemon who it is, and lends it keys in the handshake alone', async () => {
    const one = connection('works', { keys: () => Promise.resolve({ SOME_KEY: 'sk-lent' }) });
    await one.start();
    const { seen } = (await one.request('config/get', {})) as unknown as {
      seen: { initializationOptions: { modeld: Record<string, unknown> } };
    };
    const { client_id, env, protocol_versions } = seen.initializationOptions.modeld;
    assert.deepEqual([client_id, env, protocol_versions], ['vscode', { SOME_KEY: 'sk-lent' }, [1]]);
    assert.equal(one.daemon?.version, '9.9');
  });

  it('writes no message to the log, at its most talkative either', async () => {
    const lines: string[] = [];
    const say = (...all: unknown[]) => void lines.push(all.map(String).join(' '));
    const channel = new Proxy(log, {
      get: (target, name) => {
        if (name === 'logLevel') return vscode.LogLevel.Trace;
        if (['trace', 'debug', 'info', 'warn', 'error', 'append', 'appendLine'].includes(String(name))) return say;
        return Reflect.get(target, name) as unknown;
      },
    });
    const one = connection('works', { log: channel, keys: () => Promise.resolve({ SOME_KEY: 'sk-lent' }) });
    await one.start();
    await one.request('model/complete', { messages: 'a prompt of mine' });
    assert.ok(lines.some((line) => line.includes('connection: ready')));
    assert.deepEqual(
      lines.filter((line) => /sk-lent|a prompt of mine|initialize/.test(line)),
      [],
    );
  });

  it('comes back after the daemon died; requests made meanwhile wait', async () => {
    const one = connection('works', { timing: { ...FAST, settled: 0 } });
    await one.start();
    const states = statesOf(one);
    process.kill(pid(), 'SIGKILL');
    await until(() => one.state === 'reconnecting', 'the loss to be seen');
    assert.deepEqual(await one.request('model/list', {}), { models: [] });
    assert.deepEqual(states, ['reconnecting', 'ready']);
    assert.equal(started(), 2);
  });

  it('gives up on a daemon that ends again and again, with its last words', async () => {
    const one = connection('ends-soon');
    await one.start();
    await until(() => one.state === 'failed', 'it to give up', 10_000);
    assert.match(one.problem ?? '', /ends again and again.*exit code 5/);
    assert.equal(started(), 3);
  });

  it('a request that the daemon dies of fails with words, and the connection comes back', async () => {
    const one = connection('crashes-on-request', { timing: { ...FAST, settled: 0 } });
    await one.start();
    const lost = await failure(one.request('model/list', {}));
    assert.equal(lost.code, LOST);
    assert.match(lost.message, /lost before it answered model\/list/);
    await until(() => one.state === 'ready', 'the connection to come back');
  });

  it('a daemon that stops answering is left, in bounded time', async () => {
    const one = connection('silent-later', { timing: { ...FAST, settled: 0 } });
    await one.start();
    const before = pid();
    const silent = await failure(one.request('daemon/status', {}));
    assert.equal(silent.code, SILENT);
    assert.match(silent.message, /did not answer daemon\/status/);
    await until(() => started() === 2 && one.state === 'ready', 'another start');
    assert.notEqual(pid(), before);
  });

  it('a cancelled request does not wait for the connection', async () => {
    const one = connection('silent');
    void one.start();
    const source = new vscode.CancellationTokenSource();
    const asked = one.request('model/list', {}, source.token);
    setTimeout(() => source.cancel(), 30);
    await assert.rejects(asked, vscode.CancellationError);
  });

  it('starts one program, however many ask at once', async () => {
    const one = connection('works');
    await Promise.all([one.start(), one.start(), one.request('model/list', {}), one.request('model/list', {})]);
    assert.equal(started(), 1);
    await one.restart();
    assert.equal(started(), 2);
    assert.equal(one.state, 'ready');
  });

  it('a restart does not wait for an attempt that leads nowhere', async () => {
    let behaviour = 'silent';
    const one = connection('', {
      timing: { ...FAST, handshake: 15_000 },
      program: () => ({ command: process.execPath, args: [FAKE, behaviour, starts] }),
    });
    void one.start();
    await until(() => started() === 1, 'the first start');
    const silent = pid();
    behaviour = 'works';
    const begun = Date.now();
    await one.restart();
    assert.equal(one.state, 'ready');
    assert.ok(Date.now() - begun < 5_000, 'it waited');
    await until(() => !lives(silent), 'the silent program to end');
  });

  it('dispose ends the program, also one that has not answered yet', async () => {
    const one = connection('silent', { timing: { ...FAST, handshake: 15_000 } });
    void one.start();
    await until(() => started() === 1, 'the start');
    one.dispose();
    await until(() => !lives(pid()), 'the program to end');
  });

  it('dispose ends the program', async () => {
    const one = connection('works');
    await one.start();
    const last = pid();
    one.dispose();
    await until(() => !lives(last), 'the program to end');
  });
});

describe('the daemon', () => {
  it('is connected to, and says who it is', async () => {
    const { connection: live } = await connected();
    const status = await live.request('daemon/status', {});
    assert.equal(live.daemon?.epoch, status.epoch);
  });

  it('answers what it refuses with its data', async () => {
    const { connection: live } = await connected();
    const refused = await failure(live.request('model/complete', { model: 'no:such', messages: 'x' }));
    assert.equal(refused.code, FAILED);
    assert.equal(refused.errorClass, 'model_not_found');
  });

  it('comes back as another one after it was killed, with the notifications', async () => {
    const { connection: live } = await connected();
    const { pid: daemon, epoch } = await live.request('daemon/status', {});
    process.kill(daemon, 'SIGKILL');
    await until(() => live.state !== 'ready', 'the loss to be seen');
    const status = await live.request('daemon/status', {});
    assert.notEqual(status.epoch, epoch);
    const events: string[] = [];
    await live.stream('model/stream', { model: 'echo', messages: 'still here' }, ({ event }) => events.push(event.type));
    assert.deepEqual([events.at(0), events.at(-1)], ['message.start', 'message.complete']);
  });

  it('is replaced by another where the user asks for it', async () => {
    const { connection: live } = await connected();
    const { epoch } = await live.request('daemon/status', {});
    await vscode.commands.executeCommand('modeld.restartDaemon');
    assert.equal(live.state, 'ready');
    assert.notEqual(live.daemon?.epoch, epoch);
    await live.replace();
    assert.equal(live.state, 'ready');
  });

  it('is one for all, however many connect while there is none', async () => {
    const { connection: live } = await connected();
    const { pid: daemon } = await live.request('daemon/status', {});
    const others = [1, 2, 3].map(() => new Connection({ log, keys: () => Promise.resolve({}) }));
    process.kill(daemon, 'SIGKILL');
    await until(() => live.state !== 'ready', 'the loss to be seen');
    await Promise.all(others.map((one) => one.start()));
    const pids = await Promise.all([live, ...others].map(async (one) => (await one.request('daemon/status', {})).pid));
    assert.equal(new Set(pids).size, 1);
    for (const one of others) one.dispose();
  });
});

function lives(process_id: number): boolean {
  try {
    return process.kill(process_id, 0);
  } catch {
    return false;
  }
}
