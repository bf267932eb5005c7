// A daemon that misbehaves as its first argument says, over stdio as `modeld --stdio` is.
'use strict';
const fs = require('node:fs');
const [, , behaviour, file] = process.argv;

if (file) fs.appendFileSync(file, `${process.pid}\n`); // one line for each start

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}

const MODELD = { protocol_version: 1, ir_version: 1, daemon_id: 'fake', epoch: 'ep_1', features: [], limits: {} };

function initialize(id, params) {
  switch (behaviour) {
    case 'refuses':
      return send({ id, error: { code: -32602, message: 'No common protocol version; this daemon speaks 9. Update the older of client and daemon.' } });
    case 'no-daemon':
      process.stderr.write('modeld: the daemon did not start: models.yaml can not be read\n');
      return send({ id, error: { code: -32803, message: 'the daemon did not start: models.yaml can not be read' } });
    case 'stranger':
      return send({ id, result: { capabilities: {}, serverInfo: { name: 'other', version: '1' } } });
    case 'silent':
      return undefined;
    default:
      fake.params = params;
      return send({ id, result: { capabilities: { experimental: { modeld: MODELD } }, serverInfo: { name: 'modeld', version: '9.9' } } });
  }
}

const fake = { params: undefined };

function receive({ id, method, params }) {
  if (method === 'initialize') return initialize(id, params);
  if (method === 'exit') process.exit(0);
  if (id === undefined) return undefined;
  if (method === 'shutdown') return send({ id, result: null });
  if (behaviour === 'crashes-on-request') process.exit(3);
  if (behaviour === 'silent-later') return undefined;
  if (method === 'config/get') return send({ id, result: { seen: fake.params } });
  return send({ id, result: { models: [] } });
}

if (behaviour === 'crashes') {
  process.stderr.write('Traceback (most recent call last):\nmodeld: the state directory belongs to somebody else; run chown\n');
  process.exit(4);
}
if (behaviour === 'ends-soon') setTimeout(() => process.exit(5), 50);

let input = Buffer.alloc(0);
process.stdin.on('data', (data) => {
  input = Buffer.concat([input, data]);
  for (;;) {
    const end = input.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(input.subarray(0, end).toString())?.[1]);
    if (input.length < end + 4 + length) return;
    const body = input.subarray(end + 4, end + 4 + length);
    input = input.subarray(end + 4 + length);
    receive(JSON.parse(body.toString()));
  }
});
process.stdin.on('end', () => process.exit(0));
