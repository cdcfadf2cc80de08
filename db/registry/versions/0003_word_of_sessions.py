"""Word of changed sessions, and of devices that are no longer whose they were."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# On the channel on which changed keys are told: an id is that of one thing alone.
WORD_OF_CHANGES = """
CREATE FUNCTION tell_of_sessions_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('iotsphere_keys', sessions.id::text) FROM sessions WHERE user_id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER session_changed AFTER UPDATE OR DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION tell_of_changed_key();
CREATE TRIGGER user_rights_changed AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (OLD.id, OLD.organisation_id, OLD.role, OLD.is_platform_administrator)
        IS DISTINCT FROM (NEW.id, NEW.organisation_id, NEW.role, NEW.is_platform_administrator)
    )
    EXECUTE FUNCTION tell_of_sessions_of_user();
CREATE TRIGGER device_owner_changed AFTER UPDATE ON devices
    FOR EACH ROW WHEN (
        (OLD.id, OLD.organisation_id, OLD.status = 'retired')
        IS DISTINCT FROM (NEW.id, NEW.organisation_id, NEW.status = 'retired')
    )
    EXECUTE FUNCTION tell_of_changed_key();
CREATE TRIGGER device_removed AFTER DELETE ON devices
    FOR EACH ROW EXECUTE FUNCTION tell_of_changed_key();
"""


def upgrade() -> None:
    op.execute(WORD_OF_CHANGES)


def downgrade() -> None:
    for table, trigger in (
        ("sessions", "session_changed"),
        ("users", "user_rights_changed"),
        ("devices", "device_owner_changed"),
        ("devices", "device_removed"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.execute("DROP FUNCTION tell_of_sessions_of_user")
