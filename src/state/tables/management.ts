/** The tables of image management and access: sources, Repositories, tokens, audit. Created by ../migrations.ts alone. */

/** Who may do what, what was done, and the secrets of others that the agent keeps. SQL in tokens.ts, audit.ts and secrets.ts. */
export const access = `
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,              -- SHA-256 of the whole token
    grants TEXT NOT NULL,            -- JSON: roles, each with its namespace
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,              -- NULL: valid until it is revoked
    revoked_at INTEGER,
    revoked_by TEXT,
    last_used_at INTEGER             -- written at most once a minute
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tokens_by_name ON tokens (name);

  CREATE TABLE audit (               -- what was done; numbers without a gap
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT,
    name TEXT NOT NULL,
    origin TEXT,                     -- the address of the call; NULL for what the agent does by itself
    detail TEXT NOT NULL,            -- JSON object
    hash TEXT NOT NULL               -- over all of this and the hash of the record before
  ) STRICT;
  CREATE INDEX audit_by_time ON audit (at);

  CREATE TABLE audit_chain (         -- one row: the newest record, and the newest one that was pruned
    id INTEGER PRIMARY KEY CHECK (id = 1),
    head_seq INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    anchor_seq INTEGER NOT NULL,
    anchor_hash TEXT NOT NULL
  ) STRICT;
  INSERT INTO audit_chain VALUES (1, 0, '', 0, '');

  CREATE TRIGGER audit_in_order BEFORE INSERT ON audit
    WHEN new.seq <> (SELECT head_seq + 1 FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'records of the audit are added at its end'); END;
  CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'records of the audit can not be changed'); END;
  CREATE TRIGGER audit_kept BEFORE DELETE ON audit
    WHEN old.seq > (SELECT anchor_seq FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'records of the audit can not be removed'); END;
  CREATE TRIGGER audit_chain_forward BEFORE UPDATE ON audit_chain
    WHEN new.head_seq < old.head_seq OR new.anchor_seq < old.anchor_seq OR new.anchor_seq > new.head_seq
      OR (new.head_seq = old.head_seq AND new.head_hash <> old.head_hash)
      OR (new.anchor_seq = old.anchor_seq AND new.anchor_hash <> old.anchor_hash)
    BEGIN SELECT RAISE(ABORT, 'the chain of the audit only goes forward'); END;
  CREATE TRIGGER audit_chain_single BEFORE INSERT ON audit_chain
    BEGIN SELECT RAISE(ABORT, 'the chain of the audit has one row'); END;
  CREATE TRIGGER audit_chain_kept BEFORE DELETE ON audit_chain
    BEGIN SELECT RAISE(ABORT, 'the chain of the audit can not be removed'); END;

  CREATE TABLE secrets (             -- boxes of the vault
    context TEXT PRIMARY KEY,        -- whose it is; part of what the encryption is bound to
    key_id TEXT NOT NULL,
    box BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
`

/** Image management: sources, and the images that are kept in sync. SQL in sources.ts, repositories.ts and managed-objects.ts. */
export const management = `
  CREATE TABLE management_version (  -- one row: the newest resourceVersion of any object
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
  ) STRICT;
  INSERT INTO management_version VALUES (1, 0);

  CREATE TABLE sources (             -- RegistrySecrets; their passwords are boxes of the vault
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    annotations TEXT NOT NULL,       -- JSON object: what people wrote
    labels TEXT NOT NULL,            -- JSON object
    search TEXT NOT NULL,            -- lower case: what a search looks in
    provider TEXT NOT NULL,
    domain TEXT NOT NULL,
    username TEXT,                   -- NULL: anonymous
    verify_status TEXT NOT NULL,     -- 'untested', 'success' or 'failed'
    verify_message TEXT NOT NULL,
    verified_at INTEGER,
    latency_ms INTEGER,
    verify_due_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sources_to_verify ON sources (verify_due_at);

  CREATE TABLE repositories (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    annotations TEXT NOT NULL,
    labels TEXT NOT NULL,
    search TEXT NOT NULL,
    path TEXT NOT NULL,              -- in the local registry
    domain TEXT NOT NULL,            -- of its source, which stays as long as this does
    spec TEXT NOT NULL,              -- JSON
    outcome TEXT NOT NULL,           -- of the last run that ended: '', 'Success' or 'Failed'; that a run goes on is known to the process alone
    last_synced INTEGER,
    manifest TEXT,                   -- JSON: what the status says of the content
    error TEXT,                      -- JSON, while the last run has failed
    progress REAL NOT NULL,          -- 0 to 1: how far the last run came
    due_at INTEGER NOT NULL,         -- when the next run begins; stays in the past until that has ended
    waiting TEXT,                    -- JSON: what of the link keeps the next run back
    trigger TEXT NOT NULL,           -- why it is due
    requested_by TEXT NOT NULL,
    requested_from TEXT,             -- the address of the call; NULL without one
    PRIMARY KEY (namespace, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX repositories_due ON repositories (due_at);
  CREATE INDEX repositories_by_path ON repositories (path);

  CREATE TABLE repository_sources (  -- which sources a Repository names, in its order
    uid TEXT NOT NULL,
    position INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (uid, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX repository_sources_by_name ON repository_sources (namespace, name);

  CREATE TABLE repository_tags (     -- what a Repository has put under which tag
    uid TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    rolled_back INTEGER NOT NULL,    -- 1: stays at this digest until somebody starts a sync
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (uid, tag)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE repository_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    document TEXT NOT NULL           -- JSON: the run as it is read back
  ) STRICT;
  CREATE INDEX repository_runs_by_uid ON repository_runs (uid);
`

export const folder = `
  -- Objects that a document in the folder of the configuration has created: only these go when their document goes.
  CREATE TABLE folder_documents (
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,         -- '' for a plan
    name TEXT NOT NULL,
    uid TEXT NOT NULL,               -- of the object that was created; '' for a plan
    file TEXT NOT NULL,              -- its name in the folder
    PRIMARY KEY (kind, namespace, name)
  ) STRICT;
`
