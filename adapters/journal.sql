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

-- Append-only ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION journal.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'journal.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

-- The triggers that call it, and who may do what, are in journal_rights.sql.

-- Appending -----------------------------------------------------------------------------------------------------------

-- Take the lock that every append takes, until the end of the transaction; return the last position.
CREATE FUNCTION journal.hold() RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT position FROM journal.head FOR UPDATE $$;

-- Write a batch, all or nothing. `histories` and `expected` pair every history the batch was decided on with its
-- version (0: must not exist); the other arrays hold the records, column by column. When histories have moved or
-- command ids are known, nothing is written, first_position is null and moved, moved_to and seen tell which.
--
-- Each statement of a VOLATILE function takes a new snapshot in READ COMMITTED, so what is checked after the lock is
-- what the holder before has committed. The plan settings: plans are made once (they are made on an empty table, so
-- they must not be left to guess that it is small) and every look-up goes through an index.
CREATE FUNCTION journal.append(
    histories text[], expected bigint[],
    history_ids text[], versions bigint[], topics text[], states bytea[], metadatas bytea[], command_ids text[],
    OUT first_position bigint, OUT recorded_at timestamptz, OUT moved text[], OUT moved_to bigint[], OUT seen text[]
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    size CONSTANT bigint := cardinality(history_ids);
    last journal.head;
BEGIN
    SELECT * INTO STRICT last FROM journal.head FOR UPDATE;

    SELECT array_agg(wanted.history_id), array_agg(at.version) INTO moved, moved_to
    FROM unnest(histories, expected) AS wanted (history_id, version)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(r.version), 0) AS version FROM journal.record r WHERE r.history_id = wanted.history_id
    ) AS at
    WHERE at.version <> wanted.version;

    SELECT array_agg(known.command_id) INTO seen
    FROM unnest(command_ids) AS asked (command_id)
    CROSS JOIN LATERAL (
        SELECT r.command_id FROM journal.record r WHERE r.command_id = asked.command_id LIMIT 1
    ) AS known;

    IF moved IS NOT NULL OR seen IS NOT NULL THEN
        RETURN;
    END IF;

    first_position := last.position + 1;
    recorded_at := greatest(last.recorded_at, clock_timestamp());

    INSERT INTO journal.record (position, history_id, version, topic, state, recorded_at, metadata, command_id)
    SELECT last.position + r.place, r.history_id, r.version, r.topic, r.state, append.recorded_at, r.metadata,
        r.command_id
    FROM unnest(history_ids, versions, topics, states, metadatas, command_ids) WITH ORDINALITY
        AS r (history_id, version, topic, state, metadata, command_id, place);

    UPDATE journal.head AS h SET position = last.position + size, recorded_at = append.recorded_at;
END
$$;

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
