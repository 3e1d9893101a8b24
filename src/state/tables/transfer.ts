/** The tables of transfers: what is known of registries, and what the link has left. Created by ../migrations.ts alone. */

/**
 * What an external local registry is known to hold, the tag changes that it has yet to get, and what upstream answered about
 * the referrers of manifests.
 */
export const knowledge = `
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

/** How much of the link's budget is used up. SQL in budget.ts. */
export const link = `
  CREATE TABLE link_budget (
    account TEXT PRIMARY KEY,        -- 'site' or 'group:<name>'
    period_start INTEGER NOT NULL,
    bytes INTEGER NOT NULL           -- used in the period, counted ahead while the agent runs
  ) STRICT, WITHOUT ROWID;
`

/** How upstream hosts did: knowledge, not truth. SQL in source-health.ts. */
export const sourceHealth = `
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
