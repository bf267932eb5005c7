// The one connection to the daemon: made, watched, made again, and typed by the protocol.
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import type { Client } from './client';
import { CANCELLED, errorData, LOST, NOT_CONNECTED, RequestFailed, sentence, SILENT, words } from './failure';
import { AttemptFailed, CONNECTION_ENDED, type Daemon, daemonOf, handshake, NOT_INSTALLED } from './handshake';
import { findProgram, launch, type Running } from './launch';
import type { Methods, Notifications, StreamEvent } from './protocol';
import { settings } from './settings';
import { cancellableDelay, delay, TIMING, type Timing, untilCancelled } from './timing';

export type { Daemon };

const CLIENT_ID = 'vscode';
export const LANGUAGE = 'modeld';
const PROTOCOL_VERSIONS = [1];
const REQUIRED = ['model', 'stream', 'session', 'config'];

export type State = 'starting' | 'ready' | 'reconnecting' | 'missing' | 'incompatible' | 'failed';

/** The methods that answer from memory: one of them without an answer means a daemon that hangs. */
const QUICK: ReadonlySet<string> = new Set([
  'model/list',
  'model/estimateTokens',
  'provider/list',
  'session/create',
  'session/get',
  'session/list',
  'session/subscribe',
  'session/unsubscribe',
  'session/forkPoints',
  'turn/cancel',
  'usage/query',
  'usage/aggregate',
  'config/get',
  'config/check',
  'daemon/status',
]);

const NOTIFICATIONS = [
  'stream/event',
  'stream/gap',
  'trace/event',
  'session/changed',
  'config/changed',
  'availability/changed',
] as const satisfies readonly (keyof Notifications)[];
type Told = (typeof NOTIFICATIONS)[number];

/** What the connection takes from the rest of the extension. */
export interface Surroundings {
  log: vscode.LogOutputChannel;
  /** Values for key variables, asked for at each connect and kept nowhere else. */
  keys(): Promise<Record<string, string>>;
  timing?: Timing;
  /** The program and its arguments; looked for by the settings unless given. */
  program?(): { command: string; args: string[] } | undefined;
}

interface Live {
  client: Client;
  running: Running;
  since: number;
}

/**
 * One connection to the shared daemon, for everything in this window.
 *
 * A daemon that dies or is replaced by a newer one is found again by itself; requests made meanwhile wait. When that doesn't
 * work within bounds the state becomes `missing`, `incompatible` or `failed`, and `problem` says in words what to do.
 */
export class Connection implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<State>();
  private readonly emitters = new Map<string, vscode.EventEmitter<unknown>>();
  private readonly streams = new Map<string, (params: StreamEvent) => void>();
  private readonly timing: Timing;
  private current: State = 'starting';
  private words: string | undefined;
  private live: Live | undefined;
  private known: Daemon | undefined;
  private attempting: Promise<void> | undefined;
  private abort = new AbortController();
  private failures = 0;
  private failedAt = 0;
  private disposed = false;

  /** Fires with the new state; `problem` and `daemon` belong to it. */
  readonly onDidChangeState = this.changed.event;

  constructor(private readonly around: Surroundings) {
    this.timing = around.timing ?? TIMING;
    for (const method of NOTIFICATIONS) this.emitters.set(method, new vscode.EventEmitter());
    this.onNotification('stream/event', (params) => this.streams.get(params.request_id)?.(params));
  }

  get state(): State {
    return this.current;
  }

  /** What is wrong and what to do about it, in the states `missing`, `incompatible` and `failed`. */
  get problem(): string | undefined {
    return this.words;
  }

  /** The daemon at the other end, while the state is `ready`. */
  get daemon(): Daemon | undefined {
    return this.known;
  }

  /** Starts to connect where nothing is under way; settles once the state is `ready` or has a `problem`. Never rejects. */
  start(): Promise<void> {
    if (this.live !== undefined || this.disposed) return Promise.resolve();
    return this.attempt('starting', [0, ...this.timing.retries]);
  }

  /** Leaves the daemon, which lives on, and connects again. */
  async restart(): Promise<void> {
    this.failures = 0;
    this.abort.abort();
    await this.attempting;
    await this.leave();
    await this.start();
  }

  /** Ends a daemon that can't be talked to, by its own command line, and connects to the next one. */
  async replace(): Promise<void> {
    const { command, args } = this.program();
    const socket = args.indexOf('--socket');
    const where = socket < 0 ? [] : args.slice(socket, socket + 2);
    const stopping = launch(command, ['stop', '--force', ...where], (line) => this.around.log.info(line));
    const how = await Promise.race([stopping.ended, delay(this.timing.handshake)]);
    if (how === undefined) stopping.kill();
    await this.restart();
  }

  /**
   * One request. While the connection is being made it waits for that.
   *
   * Throws `vscode.CancellationError` where `token` was cancelled before it was sent, else `RequestFailed`.
   */
  async request<M extends keyof Methods>(
    method: M,
    params: Methods[M]['params'],
    token?: vscode.CancellationToken,
  ): Promise<Methods[M]['result']> {
    const live = await this.ready(token);
    if (token?.isCancellationRequested) throw new vscode.CancellationError();
    try {
      // A third argument that is undefined would make the params a list.
      const answer = live.client.sendRequest<Methods[M]['result']>(method, params, ...(token ? [token] : []));
      return await (QUICK.has(method) ? this.inTime(method, answer, live) : answer);
    } catch (error) {
      throw this.failure(method, error, live);
    }
  }

  /** A call, or a turn of a session, with its events one by one before the answer. */
  async stream<M extends 'model/stream' | 'turn/start'>(
    method: M,
    params: Methods[M]['params'],
    each: (event: StreamEvent) => void,
    token?: vscode.CancellationToken,
  ): Promise<Methods[M]['result']> {
    const request_id = params.request_id ?? `req_${randomUUID()}`;
    this.streams.set(request_id, each);
    try {
      return await this.request(method, { ...params, request_id }, token);
    } finally {
      this.streams.delete(request_id);
    }
  }

  /** Calls `handler` with each notification of a method, over every reconnect. */
  onNotification<N extends Told>(method: N, handler: (params: Notifications[N]) => void): vscode.Disposable {
    const emitter = this.emitters.get(method) as vscode.EventEmitter<Notifications[N]>;
    return emitter.event(handler);
  }

  dispose(): void {
    this.disposed = true;
    this.abort.abort();
    void this.leave();
    for (const emitter of this.emitters.values()) emitter.dispose();
    this.changed.dispose();
  }

  // ---- connecting

  private attempt(state: 'starting' | 'reconnecting', pauses: readonly number[]): Promise<void> {
    if (this.attempting === undefined) {
      this.abort = new AbortController();
      this.attempting = this.tryInTurn(state, pauses, this.abort.signal).finally(() => (this.attempting = undefined));
    }
    return this.attempting;
  }

  private async tryInTurn(state: 'starting' | 'reconnecting', pauses: readonly number[], signal: AbortSignal): Promise<void> {
    this.become(state);
    let failed = new AttemptFailed('failed', 'modeld was not started');
    for (const pause of pauses) {
      await delay(pause * (0.75 + Math.random() / 2), signal); // windows that lost the same daemon shouldn't all come at once
      if (signal.aborted) return;
      try {
        this.live = await this.connect(signal);
        return this.become('ready');
      } catch (error) {
        if (signal.aborted) return;
        failed = error instanceof AttemptFailed ? error : new AttemptFailed('failed', words(error));
        this.around.log.warn(`connecting: ${failed.message}`);
      }
      // While a daemon is upgraded its program may be gone for a moment.
      if (failed.final || (failed.state === 'missing' && state === 'starting')) break;
    }
    this.failedAt = Date.now();
    this.become(failed.state, failed.message);
  }

  private async connect(signal: AbortSignal): Promise<Live> {
    const program = this.program();
    const [{ makeClient, answerOf }, env] = await Promise.all([import('./client'), this.around.keys()]);
    const { log } = this.around;
    signal.throwIfAborted();
    log.info(`starting ${program.command} ${program.args.join(' ')}`);
    const running = launch(program.command, program.args, (line) => log.info(`modeld: ${line}`));
    const giveUp = () => running.kill();
    signal.addEventListener('abort', giveUp);
    const modeld = {
      protocol_versions: PROTOCOL_VERSIONS,
      client_id: CLIENT_ID,
      required: REQUIRED,
      trusted: vscode.workspace.isTrusted,
      env,
    };
    let lost = () => {};
    const told = (method: string, params: unknown) => this.emitters.get(method)?.fire(params);
    const client = makeClient({
      running,
      log,
      modeld,
      languages: [LANGUAGE],
      notifications: NOTIFICATIONS,
      told,
      closed: () => lost(),
    });
    try {
      await handshake(client.start(), running, this.timing.handshake);
      this.known = daemonOf(answerOf(client));
      signal.throwIfAborted();
    } catch (error) {
      client.dispose().catch(() => undefined);
      running.kill();
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
    const live = { client, running, since: Date.now() };
    lost = () => void this.lost(live);
    void running.ended.then(() => this.lost(live));
    return live;
  }

  private program(): { command: string; args: string[] } {
    if (this.around.program !== undefined) {
      const given = this.around.program();
      if (given === undefined) throw new AttemptFailed('missing', NOT_INSTALLED, true);
      return given;
    }
    const own = settings();
    const command = findProgram(own.path);
    if (command === undefined) {
      const message = own.path ? `The setting modeld.path is ${own.path}, but no program is there.` : NOT_INSTALLED;
      throw new AttemptFailed('missing', message);
    }
    const args = ['--stdio'];
    if (own.socket) args.push('--socket', own.socket);
    if (own.config) args.push('--config', own.config);
    return { command, args };
  }

  // ---- losing

  private async lost(live: Live): Promise<void> {
    if (this.live !== live) return;
    this.live = undefined;
    this.known = undefined;
    const how = await Promise.race([live.running.ended, delay(200).then(() => 'it closed the connection')]);
    live.running.kill();
    if (this.disposed) return;
    this.around.log.warn(`the connection to modeld was lost: ${how}`);
    this.failures = Date.now() - live.since < this.timing.settled ? this.failures + 1 : 0;
    if (this.failures > this.timing.retries.length) {
      const last = live.running.lastWords();
      this.failures = 0;
      this.failedAt = Date.now();
      this.become('failed', `modeld ends again and again: ${how}.${last ? ` Its last words: ${sentence(last)}` : ''}`);
      return;
    }
    void this.attempt('reconnecting', this.timing.reconnects);
  }

  private async leave(): Promise<void> {
    const live = this.live;
    this.live = undefined;
    this.known = undefined;
    if (live === undefined) return;
    await live.client.dispose().catch(() => undefined);
    const left = await Promise.race([live.running.ended, delay(2_000)]);
    if (left === undefined) live.running.kill();
  }

  // ---- requests

  /** The live connection. One that failed a while ago is tried once more: perhaps modeld was installed since. */
  private async ready(token: vscode.CancellationToken | undefined): Promise<Live> {
    if (this.live !== undefined) return this.live;
    if (this.attempting === undefined && Date.now() - this.failedAt > this.timing.probe) void this.attempt('starting', [0]);
    await untilCancelled(this.attempting, token);
    if (this.live !== undefined) return this.live;
    throw new RequestFailed(this.words ?? 'modeld is not connected; run the command "modeld: Reconnect".', NOT_CONNECTED);
  }

  private async inTime<T>(method: string, answer: Promise<T>, live: Live): Promise<T> {
    const timer = cancellableDelay(this.timing.quick);
    try {
      return await Promise.race([answer, timer.elapsed.then(() => this.silent(method, live))]);
    } finally {
      timer.cancel();
    }
  }

  /** No answer came: one more sign of life is asked for, and a daemon that gives none is left. */
  private async silent(method: string, live: Live): Promise<never> {
    const alive = live.client.sendRequest('daemon/status', {}).then(
      () => true,
      () => true,
    );
    const lives = await Promise.race([alive, delay(this.timing.probe).then(() => false)]);
    if (!lives) live.running.kill();
    const seconds = Math.round(this.timing.quick / 1000);
    const then = lives ? 'It answers other requests; try again.' : 'It is left and connected to anew.';
    throw new RequestFailed(`modeld did not answer ${method} within ${seconds} s. ${then}`, SILENT);
  }

  private failure(method: string, error: unknown, live: Live): Error {
    if (error instanceof RequestFailed || error instanceof vscode.CancellationError) return error;
    const code = (error as { code?: unknown } | undefined)?.code;
    if (typeof code !== 'number' || CONNECTION_ENDED.has(code) || this.live !== live) {
      const what = `The connection to modeld was lost before it answered ${method}.`;
      return new RequestFailed(`${what} ${this.words ?? 'It is being made again; try once more.'}`, LOST);
    }
    const data = errorData((error as { data?: unknown }).data);
    return new RequestFailed(data?.message ?? words(error), code === -32802 ? CANCELLED : code, data);
  }

  private become(state: State, problem?: string): void {
    if (this.disposed || (this.current === state && this.words === problem)) return;
    this.current = state;
    this.words = problem;
    this.around.log.info(`connection: ${state}${problem ? `: ${problem}` : ''}`);
    this.changed.fire(state);
  }
}
