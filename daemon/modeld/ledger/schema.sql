-- One row per call, written before its request leaves and completed before its client hears the end.
-- No text of prompts, replies or errors is ever in it: ids, counts, times and money alone.

-- version 1
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,        -- order of calls, whatever the clock does
    pid INTEGER NOT NULL,           -- whose call it is while it is 'started'
    request_id TEXT NOT NULL,       -- a client's own may come twice
    status TEXT NOT NULL,           -- started, completed, failed, cancelled, interrupted
    started_ms INTEGER NOT NULL,    -- since 1970, UTC
    finished_ms INTEGER,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    streamed INTEGER NOT NULL,
    client_id TEXT,
    session_id TEXT,
    turn_id TEXT,
    adapter_version TEXT,
    stop_reason TEXT,
    error_class TEXT,
    latency_ms REAL,
    time_to_first_token_ms REAL,
    attempts INTEGER,
    provider_request_id TEXT,
    served_model TEXT,
    input_tokens INTEGER,           -- from here on NULL is unknown, never zero; the parts are disjoint
    output_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_creation_input_tokens INTEGER,
    cache_creation_1h_input_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated INTEGER,
    cache_breakpoints INTEGER,
    cache_ttl TEXT,
    currency TEXT,
    total_cost REAL,
    cache_savings REAL,
    cost BLOB                       -- the whole of it, as JSON
);
CREATE INDEX calls_by_start ON calls (started_ms);
CREATE INDEX calls_by_session ON calls (session_id, seq) WHERE session_id IS NOT NULL;
