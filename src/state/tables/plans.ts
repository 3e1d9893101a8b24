/** The tables of plans: what was asked of this edge, and how far it is. Created by ../migrations.ts alone. */

/** What was asked of this edge, and how far it is. SQL in plans.ts and outbox.ts. */
export const plans = `
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
