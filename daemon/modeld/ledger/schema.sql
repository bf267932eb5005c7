-- One row per call, written before its request leaves and completed before its client hears the end.
-- No text of prompts, replies or errors is ever in it: ids, counts, times and money alone.

-- version 1
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,              -- order of calls, whatever the clock does
    request_id TEXT NOT NULL,             -- the client's own may come twice
    status TEXT NOT NULL,                 -- started, completed, failed, cancelled, interrupted
    started_ms INTEGER NOT NULL,          -- since 1970, UTC
    finished_ms INTEGER,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    client_id TEXT,
    session_id TEXT,
    turn_id TEXT,
    streamed INTEGER NOT NULL,
    stop_reason TEXT,
    error_class TEXT,
    latency_ms REAL,
    first_token_ms REAL,
    attempts INTEGER,
    provider_request_id TEXT,
    model_used TEXT,
    adapter_version TEXT,
    input_tokens INTEGER,                 -- the four disjoint parts; NULL is unknown, never zero
    output_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated INTEGER,
    currency TEXT,
    total_cost REAL,                      -- NULL is unknown, never zero
    cache_savings REAL,
    pricing_version TEXT,
    cost BLOB,                            -- the whole Cost as JSON
    reported_cost REAL                    -- the provider's own figure, for repricing
);
CREATE INDEX calls_by_start ON calls (started_ms);
CREATE INDEX calls_by_session ON calls (session_id, seq) WHERE session_id IS NOT NULL;
CREATE INDEX calls_open ON calls (seq) WHERE status = 'started';
