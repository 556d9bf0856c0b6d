"""The rows of the paper's tables and figures, one line of ``rows.csv`` each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, suggestion


@dataclass(frozen=True)
class Row:
    """A row: a config and options, the paper's numbers, and what to know about it.

    Several values in a text are separated by spaces; ``-`` is one that is not given.
    """

    id: str  # table or figure, network and method: T3/wrn28-10/gradaug-cutmix
    config: str  # path from the project's folder
    options: str = ''  # its --cfg-options; {seed} is the number of the run
    # Command after training with {config}, {checkpoint} and {out}, a folder for a JSON file.
    then: str = ''
    smoke: str = ''  # options of that command when it is only tried
    metrics: str = 'accuracy/top1'  # of the validation, or paths in the JSON, dots between keys
    paper: str = ''  # the paper's values of these
    readme: str = ''  # those of the authors' README, where they differ
    hours: str = ''  # GPU hours of a run on the paper's 1080 Ti
    basis: str = ''  # of these: minutes per epoch of Table 2, or those scaled by FLOPs
    data: str = ''  # data set, and files that have to be made first
    note: str = ''  # where paper, README, code and this project disagree

    @property
    def trains(self) -> bool:
        """Return whether it needs a training: not if its command takes no checkpoint."""
        return not self.then or '{checkpoint}' in self.then

    def options_of(self, seed: int) -> list[str]:
        """Return the options of the run with a seed."""
        return [f'randomness.seed={seed}', *self.options.format(seed=seed).split()]


def read_rows() -> dict[str, Row]:
    """Return the rows by id, in their order."""
    with open(Path(__file__).with_name('rows.csv'), newline='', encoding='utf-8') as file:
        return {line['id']: Row(**line) for line in csv.DictReader(file)}


def select_rows(rows: Mapping[str, Row], ids: Sequence[str]) -> list[Row]:
    """Return the rows of some ids, or of beginnings of ids (``T3``, ``T3/wrn28-10``).

    Raises:
        ConfigError: If no row has such an id.
    """
    found: dict[str, Row] = {}
    for wanted in ids:
        own = {name: row for name, row in rows.items() if f'{name}/'.startswith(f'{wanted}/')}
        if not own:
            near = suggestion(wanted, rows)
            raise ConfigError(f'no row {wanted!r}{near}, expected an id of tools/repro.py list')
        found |= own
    return list(found.values())
