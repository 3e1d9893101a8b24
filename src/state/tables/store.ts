/** The tables of the embedded registry: what it holds, what arrives, what may go. Created by ../migrations.ts alone. */

/** What the embedded registry holds and shows. Bytes lie in the layout's blobs; these rows say who may see them. */
export const content = `
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
export const lifecycle = `
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
export const ingests = `
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
export const uploads = `
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
