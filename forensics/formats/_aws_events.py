"""Events of Amazon's CloudWatch Logs as JSON: the lines of a log, each as the ``message`` of an event.

Examples of the forms, in one line each in their files or not:

- what a subscription delivers, for instance to Firehose: documents end to end, each with several events::

    {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789010",
        "logGroup": "flows",
        "logStream": "eni-1",
        "subscriptionFilters": ["all"],
        "logEvents": [{"id": "1", "timestamp": 1432166470000, "message": "2 ..."}],
    }

- the answer to GetLogEvents or FilterLogEvents, as the command line prints it: ``{"events": [{"message": "2 ..."}]}``;
- events by themselves: ``{"message": "2 ..."}``.

Messages of the kind ``CONTROL_MESSAGE``, by which a subscription tests its destination, are passed over.

References
----------
.. [1] Amazon Web Services, *CloudWatch Logs API reference*, OutputLogEvent, FilteredLogEvent,
   https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilteredLogEvent.html
.. [2] Amazon Web Services, *Powertools for AWS Lambda (TypeScript)*, CloudWatchLogsEvent: a subscription's document,
   https://docs.aws.amazon.com/powertools/typescript/2.16.0/api/types/_aws-lambda-powertools_parser.types.CloudWatchLogsEvent.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._blocks import block_of
from forensics.formats._json import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.formats import Evidence
    from forensics.formats._blocks import Block

__all__ = ["event_blocks", "messages_in"]

PART = 4 << 20
"""So much text of messages becomes a block. [characters]"""

_BEHIND = ("searchedLogStreams", "nextToken", "nextForwardToken", "nextBackwardToken")
"""Keys of an answer that follow its events."""

_MESSAGE = re.compile(rb'"message"\s*:\s*("(?:[^"\\]|\\.)*")')


def messages_in(head: bytes) -> list[bytes]:
    """Return the messages that stand in the head of a file; none where it is not JSON."""
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
        return []
    found = []
    for text in _MESSAGE.findall(head):
        try:
            found.append(str(json.loads(text)).encode("utf-8", "backslashreplace"))
        except ValueError:  # a character that JSON does not have in a text
            continue
    return found


def event_blocks(evidence: Evidence) -> Iterator[Block]:
    """Yield the messages of a file as lines; the number of a line is that of its event.

    Raises
    ------
    forensics.errors.EvidenceError
        The stream was damaged; what came before was yielded.
    """
    number, size, held = 1, 0, list[str]()
    damage: EvidenceError | None = None
    messages = _messages(evidence)
    while True:
        try:
            line = next(messages, None)
        except EvidenceError as error:
            damage, line = error, None
        if held and (line is None or size > PART):
            yield _block(held, number)
            number, size, held = number + len(held), 0, []
        if line is None:
            break
        held.append(" ".join(line.split()))
        size += len(held[-1])
    if damage is not None:
        raise damage


def _block(lines: list[str], number: int) -> Block:
    """Return lines as a block."""
    return block_of("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"), number)


def _messages(evidence: Evidence) -> Iterator[str]:
    """Yield the messages of events; of what is no event, its own text."""
    controls, behind = 0, False
    for value, text, problem in values(evidence, under="events"):
        if isinstance(value, dict) and value.get("messageType") == "CONTROL_MESSAGE":
            controls += 1
            evidence.notes["control_messages"] = controls
            continue
        listed = value.get("logEvents") if isinstance(value, dict) else None
        events = listed if isinstance(listed, list) else [value]
        found = [event.get("message") if isinstance(event, dict) else None for event in events]
        behind = (behind or value in _BEHIND) and not any(found)
        if problem and not behind:
            yield text
        elif not behind:
            for event, message in zip(events, found, strict=True):
                yield message if isinstance(message, str) else json.dumps(event)
