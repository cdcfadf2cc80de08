#!/bin/sh
# The database image runs this as its superuser when the volume is new. It makes the application's role, named like the
# database, with the rights and limits that iotsphere/localstack/provisioning.py gives it elsewhere.
set -eu
: "${ROLE_PASSWORD:?}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set role="$POSTGRES_DB" <<'SQL'
\getenv password ROLE_PASSWORD
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
ALTER ROLE :"role" SET statement_timeout = '30s';
ALTER ROLE :"role" SET lock_timeout = '2s';
ALTER ROLE :"role" SET idle_in_transaction_session_timeout = '10s';
ALTER DATABASE :"role" OWNER TO :"role";
REVOKE ALL ON DATABASE :"role", postgres, template0, template1 FROM PUBLIC;
SELECT 'CREATE EXTENSION IF NOT EXISTS timescaledb' FROM pg_available_extensions WHERE name = 'timescaledb' \gexec
SQL
