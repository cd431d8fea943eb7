#!/bin/sh
# What Testcontainers expects of the image `postgres`: a cluster for $POSTGRES_USER, $POSTGRES_PASSWORD and $POSTGRES_DB on port 5432.
set -e
PATH=/usr/lib/postgresql/15/bin:$PATH
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    install -d -m 700 -o postgres -g postgres "$data"
    install -m 600 -o postgres /dev/null /tmp/password
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    runuser -u postgres -- initdb -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password -A scram-sha-256 --no-sync > /dev/null
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | runuser -u postgres -- postgres --single -D "$data" postgres > /dev/null
    fi
fi
exec runuser -u postgres -- postgres -D "$data" -c listen_addresses='*'
