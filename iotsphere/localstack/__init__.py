"""The real servers of a developer's machine: PostgreSQL (with TimescaleDB where it can be had) and Valkey."""
