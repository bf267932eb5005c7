// Loaded into every Node process of VS Code's server: notes each connection that would leave the machine, and refuses it.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const dns = require('node:dns');
const childProcess = require('node:child_process');
const { syncBuiltinESMExports } = require('node:module');

const file = process.env.MODELD_TEST_GUARD;
const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+|0\.0\.0\.0|::)$/;

function note(entry) {
  if (file) fs.appendFileSync(file, JSON.stringify({ pid: process.pid, ...entry }) + '\n');
}
function refusal(host) {
  return Object.assign(new Error(`the test's guard refuses ${host}`), { code: 'ENOTFOUND', hostname: host });
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function guarded(...args) {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0]; // net.connect() hands over normalized arguments
  const options = typeof first === 'object' && first !== null ? first : typeof first === 'number' ? { host: args[1] } : {};
  const host = options.path === undefined && typeof options.host === 'string' ? options.host : 'localhost';
  if (LOCAL.test(host)) return connect.apply(this, args);
  note({ target: host });
  process.nextTick(() => this.destroy(refusal(host)));
  return this;
};
const lookup = dns.lookup;
dns.lookup = function guarded(host, ...rest) {
  if (LOCAL.test(host)) return lookup.call(dns, host, ...rest);
  note({ target: host });
  process.nextTick(rest[rest.length - 1], refusal(host));
};
// The extension host is started without NODE_OPTIONS: its parent puts them back.
for (const name of ['fork', 'spawn']) {
  const start = childProcess[name];
  childProcess[name] = function guarded(command, args, options) {
    const given = Array.isArray(args) ? options : args;
    const next = { ...given, env: { ...(given?.env ?? process.env), NODE_OPTIONS: `--require=${__filename}`, MODELD_TEST_GUARD: file } };
    return Array.isArray(args) ? start.call(this, command, args, next) : start.call(this, command, next);
  };
}
syncBuiltinESMExports();
note({ watching: [...process.argv.slice(1, 4), ...process.execArgv].join(' ') });
