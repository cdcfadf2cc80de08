"""In which order the lines of a portion of a file are worked through: as many together as do not touch each other.

Each line finds things as the lines above it left them. So an asset is added before others are put below it, two
changes of one asset come one after the other, and what has others below it moves by itself, between what stands
above it in the file and what stands below.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

# What is changed together is in memory together, and may be much larger than the lines that change it.
MAX_ROUND_BYTES = 4 * 1024 * 1024

Token = UUID | str
"""An asset by its id, one to come by its key."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a line changes, what it needs to stay in its place meanwhile, and how many bytes are there of it.

    What is ``alone`` moves others along, and touches whatever is below it.
    """

    changes: Collection[Token] = ()
    needs: Collection[Token] = ()
    is_alone: bool = False
    size: int = 0


@dataclass(slots=True)
class _Rounds:
    lines: list[list[int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    changed: dict[Token, int] = field(default_factory=dict)
    touched: dict[Token, int] = field(default_factory=dict)
    first_open: int = 0

    def take(self, line: int, step: Step) -> None:
        number = len(self.lines) if step.is_alone else self._earliest(step)
        while number < len(self.lines) and self.sizes[number] + step.size > MAX_ROUND_BYTES:
            number += 1
        if number == len(self.lines):
            self.lines.append([])
            self.sizes.append(0)
        self.lines[number].append(line)
        self.sizes[number] += step.size
        if step.is_alone:
            self.first_open = number + 1
        for token in step.changes:
            self.changed[token] = number
        for token in (*step.changes, *step.needs):
            self.touched[token] = max(number, self.touched.get(token, 0))

    def _earliest(self, step: Step) -> int:
        before = [self.changed[token] for token in step.needs if token in self.changed]
        before += [self.touched[token] for token in step.changes if token in self.touched]
        return max([self.first_open, *(number + 1 for number in before)])


def plan_rounds(steps: Iterable[Step]) -> list[list[int]]:
    """Give the numbers of the lines that are settled together, round after round."""
    rounds = _Rounds()
    for line, step in enumerate(steps):
        rounds.take(line, step)
    return rounds.lines
