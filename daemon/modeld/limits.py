"""The bounds of the daemon, each with its reason; what one module alone needs stands at its head. Queues have a maximum, waits
have a deadline."""

KIB = 1024
MIB = 1024 * KIB

# ---- clients
MAX_MESSAGE_BYTES = 32 * MIB  # promised in the handshake; a request with a dozen images fits
MAX_HEADER_BYTES = 4 * KIB  # promised; Content-Length and Content-Type need 100
MAX_REQUESTS_IN_FLIGHT = 256  # per client, promised; beyond it -32001 at once
MAX_CALLS_RUNNING_PER_CLIENT = 64  # of those in flight, how many talk to providers at once; the rest wait in order
MAX_CALLS_RUNNING_PER_KEY = 2_048  # at one origin with one key, unless `max_concurrent_calls` of the adapter's options says less
MAX_KEYS_WATCHED = 1_024  # keys whose limits are remembered; the idle ones go first
MAX_CLIENTS = 2_048
MAX_BYTES_IN_FLIGHT_PER_CLIENT = 64 * MIB  # undispatched request bodies of one client
WRITE_HIGH_WATER_BYTES = 256 * KIB  # above it the providers of this client's streams are paused
WRITE_LOW_WATER_BYTES = 64 * KIB
WRITE_HARD_LIMIT_BYTES = 40 * MIB  # above it the client is dropped: one maximal reply and its events fit below
SLOW_CLIENT_TIMEOUT_S = 30.0  # without reading anything for so long while output waits, a client is dropped
READ_STOP_BYTES = MIB  # unread output above which a client's further messages wait; only replies get it there
MAX_MESSAGES_PER_TICK = 64  # of one client before the others have their turn: 0.3 ms
MAX_MESSAGE_BYTES_PER_TICK = 256 * KIB  # the same in bytes: a large message is a turn of its own
MESSAGE_STALL_TIMEOUT_S = 10.0  # a message that stops half-way for so long: its announced length was wrong
LINGER_S = 2.0  # a closing connection may take so long to read what was written to it
MAX_CLIENT_ENV_BYTES = 64 * KIB  # of key values that one client supplies at initialize
TOKEN_TIMEOUT_S = 2.0  # from accept to a valid token on TCP
TOKEN_FAILURES_PER_MINUTE = 5  # then TCP is closed for TOKEN_LOCK_S
TOKEN_LOCK_S = 60.0

# ---- providers
CONNECT_TIMEOUT_S = 10.0
DEFAULT_TIMEOUT_S = 600.0  # to the first content event, and for a whole call that isn't streamed
IDLE_TIMEOUT_S = 300.0  # between content events of a stream; keep-alives don't count, hidden reasoning may be long
MAX_STREAM_S = 3_600.0  # one streamed call
COUNTS_AFTER_ERROR_S = 2.0  # a stream that told of an error may take so long to tell what the call cost
MAX_RESPONSE_BYTES = 64 * MIB  # a body that isn't streamed
MAX_STREAM_BYTES = 256 * MIB  # one streamed call
MAX_ERROR_BODY_BYTES = 64 * KIB  # read of a failed answer; more says nothing
MAX_LINE_BYTES = 8 * MIB  # one line of a stream
MAX_EVENT_BYTES = 16 * MIB  # one SSE event of many lines
MAX_RESPONSE_HEADER_BYTES = 100 * KIB
MAX_DECOMPRESSION_RATIO = 100  # gzip of JSON reaches 20; a bomb 1,000
MAX_JSON_DEPTH = 128
MAX_JSON_CONTAINERS = 500_000  # objects and arrays of one value; an answer with 20 log probabilities a token has 200,000
POOL_IDLE_S = 60.0  # providers close idle connections after 60 to 120 s
POOL_IDLE_PER_ORIGIN = 512  # as many streams as one machine runs at once; a new TLS connection costs milliseconds
MAX_FILES_SEEN = 10_000  # ids of files at providers, so that none is sent to another one; 1 MB
MAX_PROVIDER_MESSAGE_CHARS = 2_000  # of a provider's error text that goes on to clients

# ---- retries
MAX_RETRY_WAIT_S = 60.0  # what a provider asks for beyond it is cut to it; the error then says what was asked
MAX_CONTENDED_RETRIES = 20  # of one call, after answers that throttled it while others with the same key came through
BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 8.0

# ---- the daemon
DRAIN_S = 5.0  # SIGTERM: running calls may finish for so long
CANCEL_S = 0.3  # then they are cancelled, and have so long for their last event and their reply
FAREWELL_S = 0.3  # for clients to read these; six seconds in all
IDLE_EXIT_S = 600.0  # a daemon that a client started leaves after so long without clients and calls
START_TIMEOUT_S = 8.0  # a launcher waits so long for the daemon it started
MIN_OPEN_FILES = 8_192
RESERVED_FILES = 32  # accepting stops this far from the limit, so that running work goes on

# ---- files a user writes
MAX_CONFIG_BYTES = 4 * MIB
MAX_CONFIG_DEPTH = 64
MAX_CONFIG_NODES = 100_000
MAX_OPEN_DOCUMENTS = 64  # texts that one editor has open as models.yaml
MAX_DOCUMENT_CHARS = 2 * MAX_CONFIG_BYTES  # of one of them: what is too large for a config may still be edited down
LARGE_DOCUMENT_CHARS = 200_000  # beyond it one is looked at at a time, so that typing in others stays quick
MAX_PENDING_CHANGES = 1_000  # edits that wait for a pause in the typing
DIAGNOSTICS_PAUSE_S = 0.15  # in the typing, before a text is checked
