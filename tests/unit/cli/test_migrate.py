import pytest

from iotsphere.cli.errors import CommandError
from iotsphere.cli.migrate import found_platform, migrate_stores
from iotsphere.config import Settings, read_settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for store in ("REGISTRY", "ASSETS", "TELEMETRY"):
        monkeypatch.setenv(f"IOTSPHERE_{store}_DSN", "postgresql://role:secret@127.0.0.1:1/nowhere")
    monkeypatch.setenv("IOTSPHERE_SHADOW_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("IOTSPHERE_SECRET_KEY", "k" * 32)
    return read_settings()


async def test_a_registry_that_goes_away_before_the_founding_is_said_in_one_sentence(settings: Settings) -> None:
    with pytest.raises(CommandError, match="registry store does not answer") as refusal:
        await found_platform(settings)

    assert "secret" not in str(refusal.value)


def test_a_store_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(CommandError, match="registry store cannot be brought to this version's schema") as refusal:
        migrate_stores(settings)

    assert "secret" not in str(refusal.value)
