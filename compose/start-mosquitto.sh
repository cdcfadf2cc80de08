#!/bin/sh
# The broker reads passwords from a file of hashes alone; it is made at every start, in memory.
set -eu
umask 077
printf 'iotsphere:%s\n' "${BROKER_PASSWORD:?}" > /tmp/passwords
mosquitto_passwd -U /tmp/passwords
exec mosquitto -c /etc/iotsphere/mosquitto.conf
