-- Who owns the journal, what guards it, and who may do what with it. Run by adapters/installation.py at every
-- installation, in its transaction: a restored dump may come without any of this, and somebody may have changed it. Where
-- all is well it changes nothing. What takes a lock that appends would wait for is done only where it is lacking.
-- adapters/installation.py compares what it finds with the functions as they stand here.

DO $do$
DECLARE
    lacking record;
BEGIN
    IF to_regnamespace('views') IS NULL THEN
        CREATE SCHEMA views AUTHORIZATION livetill_owner;
    END IF;

    -- Whoever owns a schema may drop what is in it, whosever that is: in schema views the program makes its own tables,
    -- and owns no more than those.
    FOR lacking IN
        SELECT n.oid::regnamespace AS place FROM pg_namespace n
        WHERE n.nspname IN ('journal', 'views') AND n.nspowner <> 'livetill_owner'::regrole
    LOOP
        EXECUTE format('ALTER SCHEMA %s OWNER TO livetill_owner', lacking.place);
    END LOOP;
END
$do$;

SET LOCAL ROLE livetill_owner;
GRANT USAGE, CREATE ON SCHEMA views TO livetill_app;
GRANT USAGE ON SCHEMA views TO livetill_auditor;
RESET ROLE;

DO $do$
DECLARE
    lacking record;
BEGIN
    -- `append` runs with the rights of its owner: a dump restored without owners would let it run as a superuser. A
    -- rebuild swaps tables, so the program owns those of the read models. What is parked cannot be made anew.
    FOR lacking IN
        WITH found (object, owner, wanted) AS (
            SELECT format('TABLE %s', c.oid::regclass), c.relowner,
                CASE WHEN c.relnamespace = 'views'::regnamespace AND c.relname <> 'parked'
                    THEN 'livetill_app'::regrole ELSE 'livetill_owner'::regrole END
            FROM pg_class c
            WHERE c.relnamespace IN ('journal'::regnamespace, 'views'::regnamespace) AND c.relkind IN ('r', 'v')
            UNION ALL
            SELECT format('ROUTINE %s', p.oid::regprocedure), p.proowner, 'livetill_owner'::regrole
            FROM pg_proc p WHERE p.pronamespace = 'journal'::regnamespace
        )
        SELECT object, wanted FROM found WHERE owner <> wanted
    LOOP
        EXECUTE format('ALTER %s OWNER TO %s', lacking.object, lacking.wanted);
    END LOOP;

    -- Who may become the owner may do what it likes, whatever it inherits.
    FOR lacking IN
        SELECT m.roleid::regrole AS role, m.member::regrole AS member, m.grantor::regrole AS grantor
        FROM pg_auth_members m
        WHERE m.roleid = 'livetill_owner'::regrole
            AND m.member IN ('livetill_app'::regrole, 'livetill_auditor'::regrole)
    LOOP
        EXECUTE format('REVOKE %s FROM %s GRANTED BY %s', lacking.role, lacking.member, lacking.grantor);
    END LOOP;
END
$do$;

SET LOCAL ROLE livetill_owner;

CREATE OR REPLACE FUNCTION journal.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'journal.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

-- Take the lock that every append takes, until the end of the transaction; return the last position.
CREATE OR REPLACE FUNCTION journal.hold() RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT position FROM journal.head FOR UPDATE $$;

-- Write a batch, all or nothing. `histories` and `expected` pair every history the batch was decided on with its
-- version (0: must not exist); the other arrays hold the records, column by column. When histories have moved or
-- command ids are known, nothing is written, first_position is null and moved, moved_to and seen tell which. A batch
-- whose records do not run on from what is expected, one by one, is an error: no history has a hole. One begins at 1, or
-- at 0 for those who use the eventsourcing library and like that better.
--
-- Each statement of a VOLATILE function takes a new snapshot in READ COMMITTED, so what is checked after the lock is
-- what the holder before has committed. The plan settings: plans are made once (they are made on an empty table, so
-- they must not be left to guess that it is small) and every look-up goes through an index; where sets are joined they
-- are hashed. A look-up for each row of a batch is a loop all the same: it has no other plan.
CREATE OR REPLACE FUNCTION journal.append(
    histories text[], expected bigint[],
    history_ids text[], versions bigint[], topics text[], states bytea[], metadatas bytea[], command_ids text[],
    OUT first_position bigint, OUT recorded_at timestamptz, OUT moved text[], OUT moved_to bigint[], OUT seen text[]
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_nestloop = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    size CONSTANT bigint := cardinality(history_ids);
    last journal.head;
BEGIN
    -- Every record has the one before it in its history further up in the batch, or as what is expected.
    IF EXISTS (
        SELECT FROM (
            SELECT unnest(history_ids) AS history_id, unnest(versions) AS version,
                generate_subscripts(history_ids, 1) AS place
        ) AS r
        WHERE NOT EXISTS (
            SELECT FROM (
                SELECT unnest(histories) AS history_id, unnest(expected) AS version, 0 AS place
                UNION ALL
                SELECT unnest(history_ids), unnest(versions), generate_subscripts(history_ids, 1)
            ) AS before
            WHERE before.history_id = r.history_id AND before.version = greatest(r.version - 1, 0) AND before.place < r.place
        )
    ) THEN
        RAISE EXCEPTION 'the versions of a history do not run on from the one that is expected'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;

    SELECT * INTO STRICT last FROM journal.head FOR UPDATE;

    SELECT array_agg(wanted.history_id), array_agg(at.version) INTO moved, moved_to
    FROM unnest(histories, expected) AS wanted (history_id, version)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(r.version), 0) AS version FROM journal.record r WHERE r.history_id = wanted.history_id
    ) AS at
    WHERE at.version IS DISTINCT FROM wanted.version;

    SELECT array_agg(known.command_id) INTO seen
    FROM unnest(command_ids) AS asked (command_id)
    CROSS JOIN LATERAL (
        SELECT r.command_id FROM journal.record r WHERE r.command_id = asked.command_id LIMIT 1
    ) AS known
    WHERE asked.command_id IS NOT NULL;

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

-- Append-only. Per statement: costs an INSERT nothing, and refuses also what would match no row. ALWAYS:
-- session_replication_role = replica must not open a back door.
DO $do$
DECLARE
    lacking record;
BEGIN
    FOR lacking IN
        SELECT wanted.* FROM (VALUES
            ('append_only', 'UPDATE OR DELETE OR TRUNCATE', 'journal.record', 58),
            ('never_removed', 'DELETE OR TRUNCATE', 'journal.head', 42),
            ('never_removed', 'DELETE OR TRUNCATE', 'journal.meta', 42)
        ) AS wanted (name, events, place, type)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger t
            WHERE t.tgrelid = wanted.place::regclass AND t.tgname = wanted.name AND t.tgenabled = 'A'
                AND t.tgtype = wanted.type AND t.tgqual IS NULL AND t.tgfoid = 'journal.refuse'::regproc
        )
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse()',
            lacking.name, lacking.events, lacking.place);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', lacking.place, lacking.name);
    END LOOP;
END
$do$;

-- What nobody could deal with, for somebody to look at. A dump of the journal brings none.
CREATE TABLE IF NOT EXISTS views.parked (
    projection text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, position, topic)
);

-- The first of these tables told callbacks apart by their position, which none has: one hid the other.
DO $do$ BEGIN
    IF (
        SELECT cardinality(conkey) < 3 FROM pg_constraint
        WHERE conrelid = 'views.parked'::regclass AND contype = 'p'
    ) THEN
        ALTER TABLE views.parked DROP CONSTRAINT parked_pkey, ADD PRIMARY KEY (projection, position, topic);
    END IF;
END $do$;

GRANT SELECT, INSERT, UPDATE, DELETE ON views.parked TO livetill_app;
GRANT SELECT ON views.parked TO livetill_auditor;

REVOKE ALL ON FUNCTION journal.hold, journal.append FROM PUBLIC, livetill_auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA journal FROM PUBLIC, livetill_app, livetill_auditor;
GRANT USAGE ON SCHEMA journal TO livetill_app, livetill_auditor;
GRANT SELECT ON journal.record, journal.readable, journal.stored_events, journal.head, journal.meta
    TO livetill_app, livetill_auditor;
GRANT EXECUTE ON FUNCTION journal.hold, journal.append TO livetill_app;

SET LOCAL ROLE livetill_app;
DO $do$
DECLARE
    own regclass;
BEGIN
    FOR own IN
        SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'views'::regnamespace AND c.relkind = 'r'
            AND c.relowner = 'livetill_app'::regrole
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO livetill_auditor', own);
    END LOOP;
END
$do$;
ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT SELECT ON TABLES TO livetill_auditor;

RESET ROLE;
