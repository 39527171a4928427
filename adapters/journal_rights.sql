-- Who owns the journal, what guards it, and who may do what with it. Run by adapters/installation.py at every
-- installation, in its transaction: a restored dump may come without any of this. Where all is well it changes nothing.
-- What takes a lock that appends would wait for is done only where it is lacking.

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
END
$do$;

SET LOCAL ROLE livetill_owner;

-- Append-only. Per statement: costs an INSERT nothing, and refuses also what would match no row. ALWAYS:
-- session_replication_role = replica must not open a back door.
DO $do$
DECLARE
    lacking record;
BEGIN
    FOR lacking IN
        SELECT wanted.* FROM (VALUES
            ('append_only', 'UPDATE OR DELETE OR TRUNCATE', 'journal.record'),
            ('never_removed', 'DELETE OR TRUNCATE', 'journal.head'),
            ('never_removed', 'DELETE OR TRUNCATE', 'journal.meta')
        ) AS wanted (name, events, place)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger t
            WHERE t.tgrelid = wanted.place::regclass AND t.tgname = wanted.name AND t.tgenabled = 'A'
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

REVOKE ALL ON FUNCTION journal.hold, journal.append FROM PUBLIC;
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
