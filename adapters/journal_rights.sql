-- Who owns the journal, what guards it, and who may do what with it. Run by adapters/installation.py at every
-- installation, in its transaction: a restored dump may come without any of this. Where all is well it changes nothing.
-- What takes a lock that appends would wait for is done only where it is lacking.

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

REVOKE ALL ON FUNCTION journal.hold, journal.append FROM PUBLIC;
GRANT USAGE ON SCHEMA journal TO livetill_app, livetill_auditor;
GRANT SELECT ON journal.record, journal.readable, journal.stored_events, journal.head, journal.meta
    TO livetill_app, livetill_auditor;
GRANT EXECUTE ON FUNCTION journal.hold, journal.append TO livetill_app;

SET LOCAL ROLE livetill_app;
GRANT USAGE ON SCHEMA views TO livetill_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA views TO livetill_auditor;
ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT SELECT ON TABLES TO livetill_auditor;

RESET ROLE;
