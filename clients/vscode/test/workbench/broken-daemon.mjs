// A modeld that is broken in one way. It speaks as much of the protocol as it takes to get that far.
const how = process.argv[2];
let buffer = Buffer.alloc(0);

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
  process.stdout.write(`Content-Length: ${body.length}\r\n\r\n`);
  process.stdout.write(body);
}

const modeld = {
  protocol_version: 1, ir_version: 1, daemon_id: 'broken', epoch: 'broken', features: ['model', 'stream', 'session', 'config'],
  limits: { max_message_bytes: 33554432, max_in_flight: 256, max_header_bytes: 4096 },
};

function answer(message) {
  if (message.method === 'initialize') {
    if (how === 'version') send({ id: message.id, error: { code: -32600, message: 'no common protocol version: this modeld speaks 7, the client 1; update the older one' } });
    else send({ id: message.id, result: { capabilities: { experimental: { modeld } }, serverInfo: { name: 'modeld', version: '0.0.1' } } });
  } else if (message.id !== undefined) {
    process.stderr.write('modeld: the sessions file is damaged; run modeld doctor\n');
    process.exit(70);
  }
}

if (how === 'start') {
  process.stderr.write('modeld: another program holds the socket; end it, or choose another one with --socket\n');
  process.exit(3);
}
process.stdin.on('data', (chunk) => {
  if (how === 'silent') return;
  buffer = Buffer.concat([buffer, chunk]);
  for (;;) {
    const end = buffer.indexOf('\r\n\r\n');
    const length = end < 0 ? 0 : Number(/content-length: *(\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (end < 0 || buffer.length < end + 4 + length) return;
    const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length).toString());
    buffer = buffer.subarray(end + 4 + length);
    answer(message);
  }
});
process.stdin.on('end', () => process.exit(0));
