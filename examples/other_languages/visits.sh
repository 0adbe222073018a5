# Counts a visit in Postgres. psql reads PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.
set -eu
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 \
    -c 'create table if not exists visits (at timestamptz default now())' \
    -c 'insert into visits default values'
echo "visits: $(psql --no-psqlrc -Atc 'select count(*) from visits')"
