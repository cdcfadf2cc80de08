import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from iotsphere.identity.secrets import PlatformCipher
from iotsphere.identity.signing import SigningKeyRing
from iotsphere.kernel.clock import utc_now
from tests.fakes.identity import SECRET_KEY
from tests.integration.registry.conftest import RegistryProcess


async def rotate(settings: dict[str, str], data_dir: Path) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "iotsphere", "rotate-signing-key", "--json", "--data-dir", str(data_dir)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_the_command_makes_a_key_that_running_processes_find(
    process: RegistryProcess, registry_dsn: str, tmp_path: Path
) -> None:
    cipher = PlatformCipher("signing-key", SECRET_KEY)
    ring = SigningKeyRing(unit_of_work=process.unit_of_work, cipher=cipher, clock=utc_now, new_id=uuid4)
    old = await ring.signing_key()
    settings = {"IOTSPHERE_REGISTRY_DSN": registry_dsn, "IOTSPHERE_SECRET_KEY": SECRET_KEY}

    ended = await rotate(settings, tmp_path)

    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told.keys() == {"id", "created_at", "signs_from"}
    async with process.unit_of_work() as uow:
        stored = await uow.signing_keys.list()
    assert str(stored[-1].id) == told["id"]
    assert await ring.find(old.id) == old


async def test_with_another_secret_key_the_command_makes_none_and_says_so(
    process: RegistryProcess, registry_dsn: str, tmp_path: Path
) -> None:
    cipher = PlatformCipher("signing-key", SECRET_KEY)
    await SigningKeyRing(unit_of_work=process.unit_of_work, cipher=cipher, clock=utc_now, new_id=uuid4).signing_key()
    async with process.unit_of_work() as uow:
        before = await uow.signing_keys.list()
    settings = {"IOTSPHERE_REGISTRY_DSN": registry_dsn, "IOTSPHERE_SECRET_KEY": "nobody's secret " * 3}

    ended = await rotate(settings, tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "IOTSPHERE_SECRET_KEY" in ended.stderr
    assert "Traceback" not in ended.stderr
    async with process.unit_of_work() as uow:
        assert await uow.signing_keys.list() == before
