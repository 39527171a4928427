-- The journal: schema version 1. Run once by adapters/installation.py, in one transaction with journal_rights.sql.
--
-- What the database itself guarantees, whatever the program does:
--   * positions are dense and in commit order: they come from the one row of `head`, whose lock lasts to the commit;
--   * a record is never changed or removed: triggers refuse it for every role, the owner and superusers included;
--   * the program can only add at the head: it may not INSERT, it may call `append`, which runs as the owner.

CREATE SCHEMA journal AUTHORIZATION livetill_owner;
CREATE SCHEMA views AUTHORIZATION livetill_app;

SET LOCAL ROLE livetill_owner;

CREATE TABLE journal.meta (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version integer NOT NULL,
    journal_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE journal.record (
    position bigint PRIMARY KEY,
    -- "C" sorts by code point, as Python does, and is the cheapest to compare.
    history_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL CHECK (version >= 0),
    topic text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    metadata bytea NOT NULL,
    command_id text COLLATE "C",
    CONSTRAINT record_history_version UNIQUE (history_id, version)
);
CREATE UNIQUE INDEX record_command_id ON journal.record (command_id) WHERE command_id IS NOT NULL;

CREATE TABLE journal.head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 20);  -- Room for HOT updates: the row changes with every append.
INSERT INTO journal.head (position, recorded_at) VALUES (0, '-infinity');

-- What guards the tables, how records come in, and who may do what: see journal_rights.sql.

-- Reading -------------------------------------------------------------------------------------------------------------

-- Return the last position recorded at or before an instant; 0 when there is none. Positions are dense and their times
-- never fall, so a binary search over the primary key does what would otherwise take an index on the time.
CREATE FUNCTION journal.position_at(instant timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE
SET enable_seqscan = off
AS $$
DECLARE
    low bigint := 0;
    high bigint := (SELECT h.position FROM journal.head h);
    middle bigint;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF (SELECT r.recorded_at <= instant FROM journal.record r WHERE r.position = middle) THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- Return bytes as JSON, or null when they are none: not UTF-8, not JSON, nested too deep, with \u0000.
CREATE FUNCTION journal.as_json(content bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL RESTRICTED
AS $$
BEGIN
    RETURN convert_from(content, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

CREATE VIEW journal.readable AS
SELECT position, history_id, version, topic, journal.as_json(state) AS state, recorded_at,
    journal.as_json(metadata) AS metadata, command_id
FROM journal.record;

-- The face that the eventsourcing library knows: its table, with its column names.
CREATE VIEW journal.stored_events AS
SELECT history_id AS originator_id, version AS originator_version, topic, state, position AS notification_id
FROM journal.record;

INSERT INTO journal.meta (schema_version) VALUES (1);

RESET ROLE;
