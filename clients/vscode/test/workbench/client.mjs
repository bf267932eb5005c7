// Another client of the same daemon: JSON-RPC over `modeld --stdio`, as any editor would speak it.
import { spawn } from 'node:child_process';
import { MODELD, environment } from './machine.mjs';

export class Client {
  #next = 1;
  #waiting = new Map();
  #buffer = Buffer.alloc(0);
  events = [];

  static async connect(place, clientId = 'terminal') {
    const client = new Client();
    client.child = spawn(MODELD, ['--stdio'], { env: environment(place), stdio: ['pipe', 'pipe', 'ignore'] });
    client.child.stdout.on('data', (chunk) => client.#read(chunk));
    client.child.on('exit', () => {
      for (const { reject } of client.#waiting.values()) reject(new Error('the daemon left'));
    });
    client.child.stdin.on('error', () => undefined);
    const initializationOptions = { modeld: { protocol_versions: [1], client_id: clientId } };
    await client.request('initialize', { processId: process.pid, rootUri: null, capabilities: {}, initializationOptions });
    client.#send({ method: 'initialized', params: {} });
    return client;
  }

  request(method, params) {
    const id = this.#next++;
    this.#send({ id, method, params });
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #send(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    this.child.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.child.stdin.write(body);
  }

  #read(chunk) {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const end = this.#buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/content-length: *(\d+)/i.exec(this.#buffer.subarray(0, end).toString())[1]);
      if (this.#buffer.length < end + 4 + length) return;
      const message = JSON.parse(this.#buffer.subarray(end + 4, end + 4 + length).toString());
      this.#buffer = this.#buffer.subarray(end + 4 + length);
      const waiting = this.#waiting.get(message.id);
      if (waiting && !message.method) {
        this.#waiting.delete(message.id);
        if (message.error) waiting.reject(Object.assign(new Error(message.error.message), message.error));
        else waiting.resolve(message.result);
      } else if (message.method) {
        this.events.push(message);
      }
    }
  }

  close() {
    this.child.kill();
  }
}
