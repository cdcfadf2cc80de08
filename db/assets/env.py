"""Alembic's entry: runs this store's revisions on the connection that ``repositories.migrations`` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
