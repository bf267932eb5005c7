-- Sessions, their messages and turns. Bodies are canonical JSON with the version of the form they were written in.

-- version 1
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL,          -- since 1970, UTC
    updated_ms INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    last_turn_id TEXT,
    settings BLOB NOT NULL,               -- what clients set: model, system prompt, tools, metadata, policy; where it came from
    state BLOB NOT NULL                   -- what the daemon notes of providers
) WITHOUT ROWID;
CREATE INDEX sessions_by_update ON sessions (updated_ms, session_id);
CREATE TABLE messages (
    session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- from 0, without gaps
    message_id TEXT NOT NULL,             -- a fork keeps the ids of its parent
    turn_id TEXT,
    ir_version INTEGER NOT NULL,
    adapter_version TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX messages_by_position ON messages (session_id, position);
CREATE TABLE turns (
    turn_id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    status TEXT NOT NULL,                 -- running, completed, failed, cancelled, interrupted
    model TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    stop_reason TEXT,
    error_class TEXT,
    input BLOB                            -- of a turn that did not come into the history
) WITHOUT ROWID;
CREATE INDEX turns_by_session ON turns (session_id);
CREATE INDEX turns_running ON turns (turn_id) WHERE status = 'running';

-- version 2
ALTER TABLE sessions ADD COLUMN deleted_ms INTEGER;                     -- gone for everybody; its rows go a few at a time
ALTER TABLE sessions ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;  -- of the bodies of its messages
UPDATE sessions SET size_bytes = (SELECT coalesce(sum(length(body)), 0) FROM messages m WHERE m.session_id = sessions.session_id);
CREATE INDEX sessions_deleted ON sessions (session_id) WHERE deleted_ms IS NOT NULL;
ALTER TABLE messages ADD COLUMN as_sent INTEGER NOT NULL DEFAULT 0;     -- 1 where the body has fields that the form doesn't know
