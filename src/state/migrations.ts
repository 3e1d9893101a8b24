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
    name TEXT PRIMARY KEY,           -- 'seq' of statuses, 'run' of executions
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO plan_counters VALUES ('seq', 0), ('run', 0);

  CREATE TABLE outbox (              -- statuses that the broker has not acknowledged, in order
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    plan TEXT NOT NULL,
    seq INTEGER,                     -- of the status; NULL for a clear
    kind TEXT NOT NULL CHECK (kind IN ('interim', 'terminal', 'refusal', 'clear')),
    payload TEXT NOT NULL
  ) STRICT;
  CREATE INDEX outbox_by_plan ON outbox (plan);
`

const migrations: readonly (readonly string[])[] = [[content, ingests, uploads, knowledge, plans]]

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
