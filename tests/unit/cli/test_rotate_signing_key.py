from dataclasses import replace
from pathlib import Path

import pytest

from iotsphere.cli.errors import CommandError
from iotsphere.cli.rotate_signing_key import rotate
from iotsphere.cli.settings import complete
from iotsphere.config import Settings, read_settings
from iotsphere.localstack.stored_secrets import Secrets

NOWHERE = "postgresql://role:secret@127.0.0.1:1/nowhere"


@pytest.fixture
def settings() -> Settings:
    """Nothing but what has a default."""
    known = read_settings()
    return replace(known, registry_dsn=None, assets_dsn=None, telemetry_dsn=None, shadow_url=None, secret_key=None)


async def test_without_a_platform_on_the_data_folder_it_is_said_what_is_missing(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=r"IOTSPHERE_REGISTRY_DSN .*--data-dir"):
        await rotate(complete(settings, tmp_path))

    with pytest.raises(CommandError, match=r"IOTSPHERE_SECRET_KEY .*--data-dir"):
        await rotate(complete(replace(settings, registry_dsn=NOWHERE), tmp_path))


async def test_a_registry_that_does_not_answer_is_said_in_one_sentence(settings: Settings, tmp_path: Path) -> None:
    Secrets(tmp_path).get_or_make("secret_key")

    with pytest.raises(CommandError, match="registry store does not answer") as refusal:
        await rotate(complete(replace(settings, registry_dsn=NOWHERE), tmp_path))

    assert "secret" not in str(refusal.value)
