"""What an examination found out, for whoever runs the platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``subject`` is a store or the audit trail, ``detail`` what is so, or is wrong."""

    subject: str
    check: str
    is_well: bool
    detail: str
