-- Who owns the journal, what guards it, and who may do what with it. Run by adapters/installation.py at every
-- installation, in its transaction: a restored dump may come without any of this, and somebody may have changed it. Where
-- all is well it changes nothing. What takes a lock that appends would wait for is done only where it is lacking.
-- adapters/installation.py compares what it finds with the functions as they stand here.

DO $do$
DECLARE
    lacking record;
BEGIN
    IF to_regnamespace('views') IS NULL THEN
        CREATE SCHEMA views AUTHORIZATION livetill_app;
    END IF;

    -- `append` runs with the rights of its owner: a dump restored without owners would let it run as a superuser.
    FOR lacking IN
        WITH ours (namespace, owner) AS (
            VALUES (to_regnamespace('journal'), to_regrole('livetill_owner')),
                (to_regnamespace('views'), to_regrole('livetill_app'))
        ), found (object, owner, wanted) AS (
            SELECT format('SCHEMA %s', n.oid::regnamespace), n.nspowner, ours.owner
            FROM ours JOIN pg_namespace n ON n.oid = ours.namespace
            UNION ALL
            SELECT format('TABLE %s', c.oid::regclass), c.relowner, ours.owner
            FROM ours JOIN pg_class c ON c.relnamespace = ours.namespace WHERE c.relkind IN ('r', 'v')
            UNION ALL
            SELECT format('ROUTINE %s', p.oid::regprocedure), p.proowner, ours.owner
            FROM ours JOIN pg_proc p ON p.pronamespace = ours.namespace
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

DO $do$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'journal.record'::regclass AND conname = 'record_version_from_one'
    ) THEN
        ALTER TABLE journal.record ADD CONSTRAINT record_version_from_one CHECK (version >= 1) NOT VALID;
    END IF;
END
$do$;

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
-- whose records do not run on from what is expected, one by one, is an error: no history has a hole or begins anywhere
-- but at 1.
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
            WHERE before.history_id = r.history_id AND before.version = r.version - 1 AND before.place < r.place
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

REVOKE ALL ON FUNCTION journal.hold, journal.append FROM PUBLIC, livetill_auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA journal FROM PUBLIC, livetill_app, livetill_auditor;
GRANT USAGE ON SCHEMA journal TO livetill_app, livetill_auditor;
GRANT SELECT ON journal.record, journal.readable, journal.stored_events, journal.head, journal.meta
    TO livetill_app, livetill_auditor;
GRANT EXECUTE ON FUNCTION journal.hold, journal.append TO livetill_app;

SET LOCAL ROLE livetill_app;
GRANT USAGE ON SCHEMA views TO livetill_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA views TO livetill_auditor;
ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT SELECT ON TABLES TO livetill_auditor;

RESET ROLE;
