// Follows one session: subscribes, goes on from its cursor after a new connection, and asks for everything again after a gap.
import type { Disposable } from 'vscode';
import type { SessionSnapshot, StreamEvent } from '../../protocol';
import type { Connection } from '../../connection';
import { words } from '../../failure';

export interface FollowerSink {
  load(snapshot: SessionSnapshot): void;
  event(event: StreamEvent): void;
  /** The connection went or came, or the session can't be followed any more (`problem` says why). */
  state(connected: boolean, problem?: string): void;
  deleted(): void;
}

export class Follower implements Disposable {
  private epoch: string | undefined;
  private cursor: number | undefined;
  private held: StreamEvent[] | undefined; // while a subscription is being made
  private again = false;
  private ended = false;
  private readonly disposables: Disposable[];

  constructor(
    private readonly connection: Connection,
    readonly sessionId: string,
    private readonly sink: FollowerSink,
  ) {
    this.disposables = [
      connection.onNotification('stream/event', (event) => {
        if (event.session_id === this.sessionId) this.receive(event);
      }),
      connection.onNotification('stream/gap', (gap) => {
        if (gap.session_id === this.sessionId) void this.subscribe(false);
      }),
      connection.onNotification('session/changed', (changed) => {
        if (changed.session_id !== this.sessionId) return;
        if (changed.change === 'deleted') this.sink.deleted();
        else void this.subscribe(false);
      }),
      connection.onDidChangeState(() => {
        const ready = connection.state === 'ready';
        this.sink.state(ready);
        if (ready) void this.subscribe(true);
      }),
    ];
    if (connection.state === 'ready') void this.subscribe(false);
    else sink.state(false);
  }

  /** `resume` goes on after the last event; without it, or where the daemon can't, a snapshot comes first. */
  private async subscribe(resume: boolean): Promise<void> {
    if (this.held) {
      this.again = true;
      return;
    }
    this.held = [];
    try {
      const place = resume && this.epoch !== undefined ? { epoch: this.epoch, cursor: this.cursor ?? 0 } : {};
      const result = await this.connection.request('session/subscribe', { session_id: this.sessionId, ...place });
      this.epoch = result.epoch;
      this.cursor = result.cursor;
      if (result.snapshot && !this.ended) this.sink.load(result.snapshot);
      if (!this.ended) this.sink.state(true);
    } catch (error) {
      if (!this.ended) this.sink.state(this.connection.state === 'ready', words(error));
    } finally {
      const held = this.held;
      this.held = undefined;
      for (const event of held) this.receive(event);
    }
    if (this.again && !this.ended) {
      this.again = false;
      await this.subscribe(false);
    }
  }

  private receive(event: StreamEvent): void {
    if (this.ended) return;
    if (this.held) {
      this.held.push(event);
      return;
    }
    if (event.epoch !== this.epoch || this.cursor === undefined) return; // of a daemon before this one
    if (event.cursor <= this.cursor) return;
    if (event.cursor > this.cursor + 1) {
      void this.subscribe(false); // something is missing that no gap told of
      return;
    }
    this.cursor = event.cursor;
    this.sink.event(event);
  }

  dispose(): void {
    this.ended = true;
    for (const disposable of this.disposables) disposable.dispose();
    if (this.connection.state === 'ready') {
      this.connection.request('session/unsubscribe', { session_id: this.sessionId }).then(undefined, () => undefined);
    }
  }
}
