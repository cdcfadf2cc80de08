#!/bin/sh
# Starts the shadow store with the settings and the rights of iotsphere/localstack/valkey.py. They come on standard
# input, with hashes in place of the passwords; arguments are further settings.
set -eu

hash_of() {
    printf %s "${1:?}" | sha256sum | cut -d ' ' -f 1
}
password=$(hash_of "$SHADOW_PASSWORD")
admin_password=$(hash_of "$SHADOW_ADMIN_PASSWORD")

exec valkey-server - "$@" <<SETTINGS
protected-mode no
appendonly yes
appendfsync always
save ""
maxmemory 1gb
maxmemory-policy noeviction
user default off
user iotsphere on #$password resetchannels ~iotsphere:* &iotsphere:* +@all -@admin -@dangerous -acl +info
user iotsphere_admin on #$admin_password ~* &* +@all
SETTINGS
