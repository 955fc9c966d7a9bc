r"""What a report rests on besides the evidence: zone, options of reading, the analyst's lists; how to make it again.

Example::

    given = Given(indicators=("iocs.csv",))
    settings = settings_of(case, given)
    print(*again(settings, ReportForm(language="ja")), sep="\n")
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from forensics._version import __version__
from forensics.detectors import all_detectors, volume_spikes
from forensics.hops import build_hop_graph
from forensics.reading import EvidenceFile, sha256_of
from forensics.relays import rank_relays

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from forensics.case import Case

__all__ = ["Given", "ReportForm", "again", "settings_hash", "settings_of"]

TOLD = "told"
"""Key of the notes of a source under which stands what the analyst said about it."""

SWITCHES = {
    "timezone": "--timezone",
    "year": "--year",
    "logformat": "--logformat",
    "encoding": "--encoding",
    "trusted_proxies": "--trusted-proxy",
    "table": "--table",
}
"""Options of reading that the command line has, too."""

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Given:
    """Files that the analyst gave besides the evidence, as `forensics.write_report` takes them."""

    indicators: Sequence[str | os.PathLike[str]] = ()
    asserted: str | os.PathLike[str] | None = None
    geoip: Sequence[str | os.PathLike[str]] = ()

    def files(self) -> list[tuple[str, Path]]:
        """Return each file behind the option that it was given by."""
        asserted = [] if self.asserted is None else [self.asserted]
        named = {"indicators": self.indicators, "asserted": asserted, "geoip": self.geoip}
        return [(option, Path(file)) for option, files in named.items() for file in files]


@dataclass(frozen=True, slots=True)
class ReportForm:
    """How a report is written, as `forensics.write_report` takes it."""

    language: str = "en"
    defang: bool = False
    pdf: bool = False


def settings_of(case: Case, given: Given) -> Settings:
    """Return everything but the evidence that the result depends on.

    Parameters
    ----------
    case
        The case.
    given
        Files that the analyst gave besides.

    Returns
    -------
    dict
        JSON values: ``version``, ``timezone``, ``window_s`` (length of a window of the volume spikes [s]), ``reading``
        (what was told of which sources), ``lists`` (the option, name and SHA-256 of each file given), ``thresholds``
        (the options of each detector, of the ranking and of the graph; times in seconds).
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for row in case.sources.to_arrow().select(["source", "format", "notes"]).to_pylist():
        if row["format"]:
            told = json.loads(row["notes"] or "{}").get(TOLD, {})
            groups[json.dumps(told, sort_keys=True, ensure_ascii=False)].append(row["source"])
    return {
        "version": __version__,
        "timezone": str(case.timezone),
        "window_s": volume_spikes.window_of(case).total_seconds(),
        "reading": [{"sources": sources, "told": json.loads(told)} for told, sources in groups.items()],
        "lists": [
            {"option": option, "file": path.name, "sha256": sha256_of(EvidenceFile(path.name, path))}
            for option, path in given.files()
        ],
        "thresholds": _thresholds(),
    }


def _thresholds() -> Settings:
    """Return the options with which everything is looked for; none of them can be set for a report."""
    looking: dict[str, Callable[..., Any]] = {name: detector.detect for name, detector in all_detectors().items()}
    looking |= {"rank_relays": rank_relays, "build_hop_graph": build_hop_graph}
    told: Settings = {}
    for name, function in looking.items():
        options = {key: one.default for key, one in inspect.signature(function).parameters.items()}
        told[name] = {
            key: value.total_seconds() if isinstance(value, timedelta) else value
            for key, value in options.items()
            if value not in (inspect.Parameter.empty, None, ())
        }
    return {name: options for name, options in told.items() if options}


def settings_hash(settings: Settings) -> str:
    """Return the SHA-256 of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def again(settings: Settings, form: ReportForm) -> list[str]:
    """Return the lines that make the report again: commands, or Python where no command can say it.

    Parameters
    ----------
    settings
        As `settings_of` gives them.
    form
        How the report is written.
    """
    groups = settings["reading"]
    if all(_sayable(group["told"], settings["timezone"]) for group in groups):
        return _commands(settings, form)
    return _script(settings, form)


def _sayable(told: Mapping[str, Any], zone: str) -> bool:
    """Tell whether the command line can say it: its zone is that of logs and of the report."""
    return told.keys() <= SWITCHES.keys() and told.get("timezone", "UTC") == zone


def _commands(settings: Settings, form: ReportForm) -> list[str]:
    groups = settings["reading"] or [{"sources": [], "told": {}}]
    ending = [part for entry in settings["lists"] for part in (f"--{entry['option']}", entry["file"])]
    ending += [] if form.language == ReportForm().language else ["--language", form.language]
    ending += ["--defang"] if form.defang else []
    ending += ["--pdf"] if form.pdf else []
    if len(groups) == 1:
        return [
            f"forensics investigate EVIDENCE... --out report {join([*_switches(groups[0]['told']), *ending])}".strip()
        ]
    return [
        f"forensics investigate {join(group['sources'])} --case again.case --out report "
        f"{join([*_switches(group['told']), *ending])}".strip()
        for group in groups
    ]


def _switches(told: Mapping[str, Any]) -> list[str]:
    """Return options of reading as the command line takes them."""
    values = {name: value if isinstance(value, list) else [value] for name, value in told.items()}
    return [
        part for name in SWITCHES if name in told for value in values[name] for part in (SWITCHES[name], str(value))
    ]


def _script(settings: Settings, form: ReportForm) -> list[str]:
    lists: defaultdict[str, list[str]] = defaultdict(list)
    for entry in settings["lists"]:
        lists[entry["option"]].append(entry["file"])
    options: dict[str, Any] = {name: files[0] if name == "asserted" else files for name, files in lists.items()}
    plain = ReportForm()
    options |= {
        name: getattr(form, name)
        for name in ("language", "defang", "pdf")
        if getattr(form, name) != getattr(plain, name)
    }
    adding = [
        f"case.add({', '.join([*map(repr, group['sources']), *_keywords(group['told'])])})"
        for group in settings["reading"]
    ]
    return [
        "import forensics as fx",
        "",
        f"case = fx.open_case('again.case', timezone={settings['timezone']!r})",
        *adding,
        f"fx.write_report({', '.join(['case', repr('report'), *_keywords(options)])})",
    ]


def _keywords(options: Mapping[str, Any]) -> list[str]:
    """Return options as Python's calls take them."""
    return [f"{name}={_value(name, value)}" for name, value in options.items()]


def _value(name: str, value: object) -> str:
    return f"fx.Limits(**{value!r})" if name == "limits" else repr(value)
