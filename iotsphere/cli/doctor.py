"""``iotsphere doctor``: looks at every store, at the shadows and at the audit trail, and tells what is wrong."""

import asyncio
import re
from dataclasses import asdict
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from iotsphere.audit.model import ChainHead
from iotsphere.cli.errors import CommandError
from iotsphere.cli.services import services_on, stores_to_provide
from iotsphere.cli.session import WIDTH_OF_A_FILE, JsonOption, progress_bar
from iotsphere.cli.settings import SETTING_OF, DataDirOption, complete, no_address_of
from iotsphere.config import Settings, read_settings
from iotsphere.kernel.findings import Finding
from iotsphere.shadow.findings import JOURNAL
from iotsphere.workflows.examination import SIGNING_KEYS, TRAIL, ExaminationWorkflow

HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def doctor(
    data_dir: DataDirOption = None,
    audit_head: Annotated[
        str | None, typer.Option(metavar="POSITION:SEAL", help="An end of the audit chain that was noted earlier.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every store, its schema and its rights, hold shadows against their journal, and follow the audit chain.

    Ends with status 1 if anything is wrong. The environment names the stores, or a platform that 'up' runs.
    """
    noted_head = read_head(audit_head) if audit_head is not None else None
    settings = complete(read_settings(), data_dir)
    findings = asyncio.run(examine(settings, noted_head, hide_progress=as_json))
    is_well = all(finding.is_well for finding in findings)
    if as_json:
        typer.echo(to_json(findings, is_well=is_well))
    else:
        show(findings, is_well=is_well)
    if not is_well:
        raise typer.Exit(1)


def read_head(text: str) -> ChainHead:
    """:raises CommandError: it is not written as the platform writes it."""
    written = HEAD.fullmatch(text.strip().lower())
    if written is None:
        raise CommandError("--audit-head: give the position and the seal as they were noted, such as 42:9f86d0....")
    return ChainHead(int(written[1]), bytes.fromhex(written[2]))


async def examine(settings: Settings, noted_head: ChainHead | None, *, hide_progress: bool) -> list[Finding]:
    """Look at everything of which an address is known; what is not known is a finding, too."""
    unknown = stores_to_provide(settings)
    findings: list[Finding] = []
    async with services_on(settings) as container:
        examination = container.workflows.examination()
        for store in SETTING_OF:
            findings += [_no_address(store)] if store in unknown else await examination.examine_store(store)
        if "telemetry" not in unknown:
            findings += await examination.examine_telemetry()
            findings += await examination.examine_archive()
        if unknown & {"telemetry", "shadow"}:
            missing = "Shadows and journal cannot be compared without both stores."
            findings.append(Finding(JOURNAL, "agreement", is_well=False, detail=missing))
        else:
            findings += await compare_shadows(examination, hide_progress=hide_progress)
        if "registry" in unknown or settings.secret_key is None:
            missing = "the registry" if settings.registry_dsn is None else "IOTSPHERE_SECRET_KEY"
            return findings + [
                Finding(subject, check, is_well=False, detail=f"Nothing is known without {missing}.")
                for subject, check in ((SIGNING_KEYS, "readable"), (TRAIL, "chain"))
            ]
        findings += await examination.examine_signing_keys()
        return findings + await follow_chain(examination, noted_head, hide_progress=hide_progress)


async def compare_shadows(examination: ExaminationWorkflow, *, hide_progress: bool) -> list[Finding]:
    with progress_bar(hidden=hide_progress) as progress:
        task = progress.add_task("Comparing shadows and journal, percent", total=100)
        return await examination.examine_shadows(tell=lambda share: progress.update(task, completed=int(share * 100)))


async def follow_chain(
    examination: ExaminationWorkflow, noted_head: ChainHead | None, *, hide_progress: bool
) -> list[Finding]:
    with progress_bar(hidden=hide_progress) as progress:
        task = progress.add_task("Following the audit chain", total=None)

        def tell(position: int, last: int) -> None:
            progress.update(task, completed=position, total=max(position, last))

        return await examination.examine_trail(noted_head=noted_head, tell=tell)


def _no_address(store: str) -> Finding:
    return Finding(store, "answers", is_well=False, detail=no_address_of(store))


def to_json(findings: list[Finding], *, is_well: bool) -> str:
    content = {"command": "doctor", "ok": is_well, "findings": [asdict(finding) for finding in findings]}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def show(findings: list[Finding], *, is_well: bool) -> None:
    out = Console()
    out = out if out.is_terminal else Console(width=WIDTH_OF_A_FILE)
    table = Table("what", "check", "", "found")
    for finding in findings:
        mark = "[green]well[/]" if finding.is_well else "[red]wrong[/]"
        table.add_row(finding.subject, finding.check, mark, finding.detail)
    out.print(table)
    wrong = sum(not finding.is_well for finding in findings)
    out.print("All is well." if is_well else f"{wrong} of {len(findings)} findings are wrong.", highlight=False)
