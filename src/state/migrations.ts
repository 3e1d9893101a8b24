/**
 * Every table of every room, as an append-only list: entry n brings a database from version n to n + 1. An entry that was
 * released is never edited; a change is a new entry at the end. Used by database.ts alone.
 *
 * Times are epoch milliseconds, sizes and offsets bytes, digests `sha256:…`, documents JSON.
 */
import type Database from 'better-sqlite3'

/** What the embedded registry holds and shows. Bytes lie in the layout's blobs; these rows say who may see them. */
const content = `
  CREATE TABLE manifests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,         -- of the manifest itself
    content_size INTEGER NOT NULL, -- of the manifest, its config and its layers together
    artifact_type TEXT,            -- as a referrers answer gives it: the manifest's own, else its config's media type
    subject TEXT,                  -- digest of the manifest that this one refers to, which need not be here
    annotations TEXT,              -- JSON object, kept for manifests with a subject only
    added_at INTEGER NOT NULL,
    put_at INTEGER NOT NULL,       -- when it was put last; collection leaves it alone for a while after. 0: not any more
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
  CREATE INDEX manifests_by_digest ON manifests (digest);

  CREATE TABLE manifest_children (   -- an index and the manifests that it lists, present or not
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    PRIMARY KEY (parent, child)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX manifest_parents ON manifest_children (child);

  CREATE TABLE manifest_blobs (      -- a manifest and the config and layers that it needs
    manifest TEXT NOT NULL,
    blob TEXT NOT NULL,
    PRIMARY KEY (manifest, blob)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX manifests_by_blob ON manifest_blobs (blob);

  CREATE TABLE links (               -- blobs that a repository shows
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    linked_at INTEGER NOT NULL,      -- or confirmed; a link that no manifest needs is left alone for a while after
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX links_by_digest ON links (digest);

  CREATE TABLE tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    source TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tags_by_digest ON tags (repository, digest);

  CREATE TABLE layout (              -- one row once index.json was read into the tables above
    id INTEGER PRIMARY KEY CHECK (id = 1),
    imported_at INTEGER NOT NULL
  ) STRICT;
`

/** When content was used, what may go, and how far the scrub is. SQL in uses.ts, cleanup-policies.ts, external-tags.ts and scrubs.ts. */
const lifecycle = `
  CREATE TABLE manifest_uses (       -- when a manifest was last pulled, or named by a plan or Repository
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE scrub (               -- one row: the round that goes on, or the last one
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position TEXT NOT NULL,          -- the last digest that was looked at
    started_at INTEGER NOT NULL,
    finished_at INTEGER,             -- NULL while it goes on
    checked INTEGER NOT NULL,
    checked_bytes INTEGER NOT NULL,
    damaged INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE damaged_content (     -- what is missing from its place on disk, until it is there again
    digest TEXT PRIMARY KEY,
    problem TEXT NOT NULL CHECK (problem IN ('damaged', 'missing', 'unreadable')),
    found_at INTEGER NOT NULL,
    tried_at INTEGER,
    error TEXT                       -- why it could not be fetched again
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE cleanup_policies (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    annotations TEXT NOT NULL,
    labels TEXT NOT NULL,
    search TEXT NOT NULL,
    spec TEXT NOT NULL,              -- JSON
    last_run TEXT,                   -- JSON: how the last run went
    PRIMARY KEY (namespace, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE image_namespaces (    -- namespaces whose Repositories brought a path; kept while the path has images
    repository TEXT NOT NULL,
    namespace TEXT NOT NULL,
    PRIMARY KEY (repository, namespace)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE external_tags (       -- what was seen in an external registry, which tells no dates itself
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    seen_at INTEGER NOT NULL,        -- first seen there with that digest
    PRIMARY KEY (repository, tag)
  ) STRICT, WITHOUT ROWID;
`

/** Blobs that are still arriving. */
const ingests = `
  CREATE TABLE ingests (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    synced INTEGER NOT NULL,         -- bytes known to be on the disk itself
    boot_id TEXT,                    -- the kernel's boot during which the file was last written; NULL when unknown
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

/** What clients are pushing to the embedded registry: one row for each upload session. SQL in uploads.ts. */
const uploads = `
  CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    algorithm TEXT NOT NULL,         -- of the digest that its blob will probably have
    synced INTEGER NOT NULL,         -- bytes known to be on the disk itself
    boot_id TEXT,                    -- the kernel's boot during which the file was last written; NULL when unknown
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

/**
 * What an external local registry is known to hold, the tag changes that it has yet to get, and what upstream answered about
 * the referrers of manifests.
 */
const knowledge = `
  CREATE TABLE placements (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (digest, repository)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tag_journal (
    id INTEGER PRIMARY KEY,
    changes TEXT NOT NULL            -- JSON: the tag changes that belong together
  ) STRICT;

  CREATE TABLE referrer_answers (
    digest TEXT PRIMARY KEY,
    found TEXT NOT NULL,             -- JSON: descriptors and tags, as upstream named them
    asked_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

/** What was asked of this edge, and how far it is. SQL in plans.ts and outbox.ts. */
const plans = `
  CREATE TABLE plans (               -- what was asked, by name and by who asked: the edge's own topic (and HTTP) or a group's
    name TEXT NOT NULL,
    scope TEXT NOT NULL,             -- 'edge' or 'group:<group>'
    revision INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    document TEXT,                   -- the plan as JSON; NULL once it is withdrawn
    withdrawn TEXT,                  -- NULL while it stands, else how it was withdrawn: 'empty', 'field' or 'http'
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (name, scope)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX plans_withdrawn ON plans (changed_at) WHERE withdrawn IS NOT NULL;

  CREATE TABLE plan_statuses (       -- how each plan is: one row a name
    name TEXT PRIMARY KEY,
    run INTEGER NOT NULL,            -- which execution; grows over all plans, so it is the order of arrival, too
    scope TEXT NOT NULL,             -- whose plan it is
    phase TEXT NOT NULL,
    seq INTEGER NOT NULL,
    document TEXT NOT NULL,          -- the status as it is published
    started INTEGER NOT NULL DEFAULT 0,  -- whether this run has begun; from then on notAfter is kept
    ready_run INTEGER,               -- the last run that became Ready: its images are held until the next one is
    superseded_by TEXT,              -- the plan that won
    queued_seq INTEGER NOT NULL DEFAULT 0,  -- the last status that was put into the outbox
    clear_at INTEGER                 -- when the retained status of a withdrawn plan is cleared
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX plan_statuses_to_clear ON plan_statuses (clear_at) WHERE clear_at IS NOT NULL;

  CREATE TABLE plan_images (         -- what each run wants in the local registry
    plan TEXT NOT NULL,
    run INTEGER NOT NULL,
    position INTEGER NOT NULL,
    repository TEXT NOT NULL,
    tag TEXT,                        -- NULL: kept by digest alone
    digest TEXT,                     -- of the root upstream; NULL until it is pinned or resolved
    local_digest TEXT,               -- of the root as it was put, where that differs (sparse indexes)
    published INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (plan, run, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX plan_images_by_target ON plan_images (repository, tag);

  CREATE TABLE plan_counters (
    name TEXT PRIMARY KEY,           -- 'seq' of statuses, 'run' of executions; 'seq taken up': 1 once the broker was asked
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO plan_counters VALUES ('seq', 0), ('run', 0), ('seq taken up', 0);

  CREATE TABLE outbox (              -- statuses that the broker has not acknowledged, in order
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    plan TEXT NOT NULL,
    seq INTEGER,                     -- of the status; NULL for a clear
    kind TEXT NOT NULL CHECK (kind IN ('interim', 'terminal', 'refusal', 'clear')),
    payload TEXT NOT NULL
  ) STRICT;
  CREATE INDEX outbox_by_plan ON outbox (plan);
`

/** Who may do what, what was done, and the secrets of others that the agent keeps. SQL in tokens.ts, audit.ts and secrets.ts. */
const access = `
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
const management = `
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
    due_at INTEGER NOT NULL,         -- when the next run begins; stays in the past until that has ended
    trigger TEXT NOT NULL,           -- why it is due
    requested_by TEXT NOT NULL,
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

const folder = `
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

/** How much of the link's budget is used up. SQL in budget.ts. */
const link = `
  CREATE TABLE link_budget (
    account TEXT PRIMARY KEY,        -- 'site' or 'group:<name>'
    period_start INTEGER NOT NULL,
    bytes INTEGER NOT NULL           -- used in the period, counted ahead while the agent runs
  ) STRICT, WITHOUT ROWID;
`

/** How upstream hosts did: knowledge, not truth. SQL in source-health.ts. */
const sourceHealth = `
  CREATE TABLE source_health (
    host TEXT PRIMARY KEY,
    bytes REAL NOT NULL,             -- received and decayed, with the time that it took
    busy_ms REAL NOT NULL,
    measured_at INTEGER NOT NULL,
    failures INTEGER NOT NULL,       -- in a row
    resting_until INTEGER NOT NULL,
    aside_until INTEGER NOT NULL,    -- it sent wrong content
    why TEXT,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

const migrations: readonly (readonly string[])[] = [
  [content, lifecycle, ingests, uploads, knowledge, plans, access, management, folder, link, sourceHealth],
]

/** The version that this agent writes. */
export const newestVersion = migrations.length

/** Brings a database from `version` to {@link newestVersion}: all of it, or nothing of the entry that failed. */
export function migrate(db: Database.Database, version: number): void {
  for (const [index, steps] of migrations.entries()) {
    if (index < version) continue
    const apply = db.transaction(() => {
      for (const step of steps) db.exec(step)
      db.pragma(`user_version = ${index + 1}`)
    })
    apply.immediate()
  }
}
