-- PostgreSQL: one role that owns the tables, and one that the portal runs under, which can only read the audit log and
-- append to it. Run it as a superuser in the portal's database, before the first `manage.py migrate` and after each one:
--
--     psql -v ON_ERROR_STOP=1 -d hamr -f docs/postgresql-roles.sql
--
-- It may be run again at any time. Then set the passwords:  \password hamr_owner   \password hamr_portal
-- `manage.py migrate` runs with DATABASE_URL=postgres://hamr_owner:…; everything else with postgres://hamr_portal:…
-- Why: docs/decisions/0011-the-record-is-chained-guarded-anchored.md

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hamr_owner') THEN
    CREATE ROLE hamr_owner LOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hamr_portal') THEN
    CREATE ROLE hamr_portal LOGIN;
  END IF;
END
$$;

-- Whatever the roles were before: neither can switch triggers off by calling itself a replica, or become the other.
ALTER ROLE hamr_owner NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hamr_portal NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
REVOKE hamr_owner FROM hamr_portal;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO hamr_owner;
REVOKE ALL ON SCHEMA public FROM hamr_portal;
GRANT USAGE ON SCHEMA public TO hamr_portal;

-- What was made under another role becomes the owner's. The sequence of a column goes with its table.
DO $$
DECLARE
  each record;
BEGIN
  FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'hamr_owner' LOOP
    EXECUTE format('ALTER TABLE public.%I OWNER TO hamr_owner', each.tablename);
  END LOOP;
  FOR each IN SELECT oid::regprocedure AS name FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname = 'audit_guard' LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO hamr_owner', each.name);
  END LOOP;
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM hamr_portal, PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO hamr_portal;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO hamr_portal;

-- The audit log: read and append. The list of migrations: read.
DO $$
BEGIN
  IF to_regclass('public.hamr_portal_auditentry') IS NOT NULL THEN
    REVOKE ALL ON public.hamr_portal_auditentry FROM hamr_portal;
    GRANT SELECT, INSERT ON public.hamr_portal_auditentry TO hamr_portal;
  END IF;
  IF to_regclass('public.django_migrations') IS NOT NULL THEN
    REVOKE INSERT, UPDATE, DELETE ON public.django_migrations FROM hamr_portal;
  END IF;
END
$$;
