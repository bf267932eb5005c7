// Speaks to the daemon as a VS Code language client would: over a socket, or over the stdio of `modeld --stdio`.
// usage: node client.mjs socket PATH | node client.mjs stdio COMMAND ARGUMENT...
// Prints one JSON object of what happened; exits 1 with a message where something did not.
import { spawn } from 'node:child_process'
import net from 'node:net'
import {
  CancellationTokenSource,
  createProtocolConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver-protocol/node'

const [kind, ...rest] = process.argv.slice(2)

async function open() {
  if (kind === 'socket') {
    const socket = net.createConnection(rest[0])
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    const closed = new Promise((resolve) => socket.once('close', () => resolve(null)))
    return { input: socket, output: socket, closed }
  }
  const child = spawn(rest[0], rest.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
  return { input: child.stdout, output: child.stdin, closed }
}

function check(condition, message) {
  if (!condition) throw new Error(message)
}

async function main() {
  const { input, output, closed } = await open()
  const connection = createProtocolConnection(new StreamMessageReader(input), new StreamMessageWriter(output))
  const events = []
  connection.onNotification('stream/event', (params) => events.push(params))
  connection.listen()

  const initialized = await connection.sendRequest('initialize', {
    processId: process.pid,
    clientInfo: { name: 'node-test', version: '1' },
    rootUri: null,
    capabilities: { workspace: { configuration: true }, textDocument: { hover: {} } },
    initializationOptions: { modeld: { protocol_versions: [1], client_id: 'node-test' } },
  })
  check(initialized.capabilities.experimental.modeld.protocol_version === 1, 'no protocol version')
  await connection.sendNotification('initialized', {})

  const ask = (model, request_id) => ['model/stream', { model, request_id, messages: 'Hello from Node: ä € 🙂' }]
  const whole = await connection.sendRequest(...ask('openai:sim-text', 'node-1'))
  const mine = events.filter((event) => event.request_id === 'node-1').map((event) => event.event)
  const text = mine.filter((event) => event.type === 'text.delta').map((event) => event.text).join('')
  check(mine.at(-1).type === 'message.complete', 'the last event is not message.complete')
  check(text === whole.content[0].text, 'deltas and reply differ')

  const source = new CancellationTokenSource()
  const running = connection.sendRequest(...ask('openai:sim-fault-hang_mid_stream', 'node-2'), source.token)
  while (!events.some((event) => event.request_id === 'node-2')) await new Promise((resolve) => setTimeout(resolve, 5))
  source.cancel()
  const code = await running.then(() => null, (error) => error.code)
  check(code === -32800, `cancelled with code ${code}`)

  const unknown = await connection.sendRequest('no/such', {}).then(() => null, (error) => error.code)
  check((await connection.sendRequest('shutdown')) === null, 'shutdown did not answer null')
  await connection.sendNotification('exit')
  const exit = await closed
  console.log(JSON.stringify({ events: mine.length, text, cancelled: code, unknown, exit }))
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error.stack)
    process.exit(1)
  },
)
