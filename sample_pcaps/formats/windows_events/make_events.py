"""Make the samples of event logs anew: ``python sample_pcaps/formats/windows_events/make_events.py``.

The EVTX files are written by the layout that the documentation of libevtx describes: a file header, chunks of 64 KiB,
records of binary XML. Nothing in them was recorded.
"""

import json
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(__file__).resolve().parent
XMLNS = "http://schemas.microsoft.com/win/2004/08/events/event"
SYSMON, SECURITY = "Microsoft-Windows-Sysmon", "Microsoft-Windows-Security-Auditing"
CHUNK, CHUNK_HEADER = 65_536, 512


def sysmon(stamp: str, src: str, dst: str, **more: str) -> dict[str, str]:
    """Return the fields of a Sysmon 3; ends are ``address port``."""
    (source, source_port), (target, target_port) = src.split(), dst.split()
    return {
        "RuleName": "-", "UtcTime": stamp, "ProcessGuid": "{00000000-0000-0000-0000-000000000001}", "ProcessId": "4280",
        "Image": r"C:\Program Files\Browser\browser.exe", "User": r"OFFICE\mori", "Protocol": "tcp",
        "Initiated": "true", "SourceIsIpv6": "false", "SourceIp": source, "SourceHostname": "pc7.office.example",
        "SourcePort": source_port, "SourcePortName": "-", "DestinationIsIpv6": "false", "DestinationIp": target,
        "DestinationHostname": "-", "DestinationPort": target_port, "DestinationPortName": "https",
    } | more  # fmt: skip


def query(stamp: str, name: str, results: str, **more: str) -> dict[str, str]:
    """Return the fields of a Sysmon 22."""
    return {
        "RuleName": "-", "UtcTime": stamp, "ProcessGuid": "{00000000-0000-0000-0000-000000000001}", "ProcessId": "416",
        "QueryName": name, "QueryStatus": "0", "QueryResults": results,
        "Image": r"C:\Program Files\Browser\browser.exe",
    } | more  # fmt: skip


def platform(direction: str, own: str, other: str, protocol: str = "6", **more: str) -> dict[str, str]:
    """Return the fields of a 5156 or 5157; ends are ``address port``, the machine's own first."""
    (source, source_port), (target, target_port) = own.split(), other.split()
    return {
        "ProcessID": "1136", "Application": r"\device\harddiskvolume2\windows\system32\svchost.exe",
        "Direction": direction, "SourceAddress": source, "SourcePort": source_port, "DestAddress": target,
        "DestPort": target_port, "Protocol": protocol, "FilterRTID": "70201", "LayerName": "%%14611", "LayerRTID": "48",
        "RemoteUserID": "S-1-0-0", "RemoteMachineID": "S-1-0-0",
    } | more  # fmt: skip


BIND = {"ProcessId": "1136", "Application": r"\device\x.exe", "SourceAddress": "::", "SourcePort": "5355",
        "Protocol": "17", "FilterRTID": "0", "LayerName": "%%14608", "LayerRTID": "36"}  # fmt: skip

Made = tuple[str, int, str, dict[str, str]]

NORMAL: list[Made] = [
    (SYSMON, 3, "2015-05-21T01:00:02.123456Z",
     sysmon("2015-05-21 01:00:01.250", "192.0.2.7 49160", "203.0.113.9 443")),
    (SYSMON, 22, "2015-05-21T01:00:02.200000Z",
     query("2015-05-21 01:00:00.900", "www.Shop.example",
           "type:  5 edge.shop.example;::ffff:203.0.113.9;2001:db8::9;")),
    (SYSMON, 3, "2015-05-21T01:00:03Z",
     sysmon("2015-05-21 01:00:02.500", "198.51.100.4 50122", "192.0.2.7 3389", Initiated="false",
            Image=r"C:\Windows\System32\svchost.exe", SourceHostname="-", DestinationHostname="pc7.office.example")),
    (SYSMON, 3, "2015-05-21T01:00:04Z",
     sysmon("2015-05-21 01:00:03.750", "2001:db8:0:0:0:0:0:7 53412", "2001:db8:0:0:0:0:0:35 53", Protocol="udp",
            SourceIsIpv6="true", DestinationIsIpv6="true")),
    (SECURITY, 5156, "2015-05-21T01:00:05.622090200Z", platform("%%14593", "192.0.2.7 49161", "198.51.100.80 80")),
    (SECURITY, 5156, "2015-05-21T01:00:06Z", platform("%%14592", "192.0.2.7 3389", "198.51.100.4 50122")),
    (SECURITY, 5157, "2015-05-21T01:00:07Z", platform("%%14593", "192.0.2.7 49162", "198.51.100.25 25")),
    (SECURITY, 5158, "2015-05-21T01:00:08Z", BIND),
    (SECURITY, 4624, "2015-05-21T01:00:09Z", {"TargetUserName": "mori", "LogonType": "3", "IpAddress": "192.0.2.8"}),
]  # fmt: skip

UNKNOWN: list[Made] = [
    (SYSMON, 3, "2015-05-21T01:00:02Z",
     sysmon("-", "192.0.2.7 -", "- -", Protocol="-", Image="-")),
    (SYSMON, 22, "2015-05-21T01:00:03Z", query("-", "gone.example", "-", QueryStatus="9003", Image="-")),
    (SECURITY, 5156, "2015-05-21T01:00:04Z", platform("%%14593", "192.0.2.7 -", "203.0.113.9 -", "-", Application="-")),
]  # fmt: skip

TRAPS: list[Made] = [
    (SECURITY, 5157, "2015-05-21T01:00:01Z", platform("%%14592", "192.0.2.7 8", "198.51.100.4 0", "1")),
    (SECURITY, 5156, "2015-05-21T01:00:02Z", platform("%%14593", "192.0.2.7 0", "198.51.100.4 0", "50")),
    (SECURITY, 5156, "2015-05-21T01:00:03Z", platform("%%14599", "192.0.2.7 1", "198.51.100.4 2")),
    (SECURITY, 5156, "2015-05-21T01:00:04Z", platform("%%14593", "192.0.2.7 1", "198.51.100.4 99999")),
    (SECURITY, 5156, "2015-05-21T01:00:05Z", platform("%%14593", "192.0.2.7 1", "198.51.100.4 2", "300")),
    (SYSMON, 3, "2015-05-21T01:00:06Z", sysmon("2015-05-21 01:00:05", "192.0.2.7 1", "server7 2")),
    (SYSMON, 3, "2015-05-21T01:00:07Z", sysmon("yesterday", "192.0.2.7 1", "203.0.113.9 2")),
    (SYSMON, 3, "2015-05-21T01:00:08Z", sysmon("1601-01-01 00:00:00.000", "192.0.2.7 1", "203.0.113.9 2")),
    (SYSMON, 3, "2015-05-21T01:00:09Z", sysmon("2015-05-21 01:00:08", "- 1", "203.0.113.9 2")),
    (SYSMON, 3, "2015-05-21T01:00:10Z",
     sysmon("2015-05-21 01:00:09", "192.0.2.7 1", "203.0.113.9 2", Image="<script>&amp;\u4e8c.exe")),
    (SYSMON, 22, "2015-05-21T01:00:11Z", query("2015-05-21 01:00:10", "", "203.0.113.9;")),
    (SYSMON, 22, "2015-05-21T01:00:12Z",
     query("2015-05-21 01:00:11", "\u65e5\u672c.example.",
           "type:  5 a;type:  33 b.example 88;203.0.113.9;203.0.113.9;x;")),
    ("Another", 3, "2015-05-21T01:00:13Z", {"SourceIp": "192.0.2.1"}),
]  # fmt: skip


def xml(made: Made, number: int) -> str:
    """Return an event as Windows shows it in XML."""
    provider, event, time, fields = made
    data = "".join(f'<Data Name="{name}">{escape(value)}</Data>' for name, value in fields.items())
    channel = "Security" if provider == SECURITY else f"{provider}/Operational"
    return (
        f'<Event xmlns="{XMLNS}"><System><Provider Name="{provider}" Guid="{{00000000-0000-0000-0000-000000000000}}"/>'
        f"<EventID>{event}</EventID><Version>5</Version><Level>4</Level><TimeCreated SystemTime='{time}'/>"
        f"<EventRecordID>{number}</EventRecordID><Channel>{channel}</Channel>"
        f"<Computer>pc7.office.example</Computer></System><EventData>{data}</EventData></Event>"
    )


def tree(made: Made, number: int) -> dict[str, object]:
    """Return an event as tools write it that turn EVTX into JSON."""
    provider, event, time, fields = made
    system: dict[str, object] = {
        "Provider": {"#attributes": {"Name": provider}}, "EventID": event,
        "TimeCreated": {"#attributes": {"SystemTime": time}}, "EventRecordID": number, "Computer": "pc7.office.example",
    }  # fmt: skip
    return {"Event": {"#attributes": {"xmlns": XMLNS}, "System": system, "EventData": fields}}


def beat(made: Made, number: int) -> dict[str, object]:
    """Return an event as winlogbeat sends it."""
    provider, event, time, fields = made
    winlog = {"provider_name": provider, "event_id": str(event), "record_id": number, "event_data": fields,
              "computer_name": "pc7.office.example", "channel": "Security"}  # fmt: skip
    return {"@timestamp": time, "event": {"code": event, "kind": "event", "provider": provider}, "winlog": winlog}


def message(fields: dict[str, str], names: dict[str, str]) -> str:
    """Return fields as the lines of a shown message."""
    return "\r\n".join(f"\t{names.get(name, name)}:\t\t{value}" for name, value in fields.items())


def element(at: int, name: str, attributes: dict[str, str], content: list[Any]) -> bytes:
    """Return an element in binary XML, at a place of its chunk; its content are texts and elements."""
    head = 1 + 4
    body = named(at + head, name)
    if attributes:
        listed = b""
        for place, (key, value) in enumerate(attributes.items(), 1):
            begin = at + head + len(body) + 4 + len(listed) + 1
            more = place < len(attributes)
            listed += bytes([0x46 if more else 0x06]) + named(begin, key) + text(value)
        body += struct.pack("<I", len(listed)) + listed
    body += b"\x02" if content else b"\x03"
    for one in content:
        body += one if isinstance(one, bytes) else element(at + head + len(body), *one)
    body += b"\x04" if content else b""
    return bytes([0x41 if attributes else 0x01]) + struct.pack("<I", len(body)) + body


def named(at: int, name: str) -> bytes:
    """Return the reference to a name that stands right behind it, and the name."""
    checksum = 0
    for letter in name:
        checksum = checksum * 65_599 + ord(letter) & 0xFFFFFFFF
    wide = name.encode("utf-16-le")
    return struct.pack("<IIHH", at + 4, 0, checksum & 0xFFFF, len(name)) + wide + b"\0\0"


def text(value: str) -> bytes:
    """Return a text in binary XML."""
    wide = value.encode("utf-16-le")
    return struct.pack("<BBH", 5, 1, len(wide) // 2) + wide


def record(at: int, made: Made, number: int) -> bytes:
    """Return a record that stands at a place of its chunk."""
    provider, event, time, fields = made
    system: list[Any] = [
        ("Provider", {"Name": provider}, []),
        ("EventID", {}, [text(str(event))]),
        ("TimeCreated", {"SystemTime": time}, []),
        ("EventRecordID", {}, [text(str(number))]),
        ("Computer", {}, [text("pc7.office.example")]),
    ]
    data: list[Any] = [("Data", {"Name": name}, [text(value)]) for name, value in fields.items()]
    content: list[Any] = [("System", {}, system), ("EventData", {}, data)]
    tokens = b"\x0f\x01\x01\0" + element(at + 24 + 4, "Event", {"xmlns": XMLNS}, content) + b"\0"
    size = 24 + len(tokens) + 4
    size += -size % 8
    moment = datetime.fromisoformat(time) - datetime(1601, 1, 1, tzinfo=UTC)
    ticks = (moment.days * 86_400 + moment.seconds) * 10_000_000 + moment.microseconds * 10
    head = struct.pack("<4sIQQ", b"**\0\0", size, number, ticks)
    return head + tokens + bytes(size - 28 - len(tokens)) + struct.pack("<I", size)


def chunk(events: list[Made], first: int) -> bytes:
    """Return a chunk of records."""
    records, last = b"", 0
    for number, made in enumerate(events, first):
        last = CHUNK_HEADER + len(records)
        records += record(last, made, number)
    end = first + len(events) - 1
    head = struct.pack("<8sQQQQIIII", b"ElfChnk\0", first, end, first, end, 128, last, CHUNK_HEADER + len(records),
                       zlib.crc32(records))  # fmt: skip
    head += bytes(68)
    strings = bytes(384)
    head += struct.pack("<I", zlib.crc32(head[:120] + strings))
    return (head + strings + records).ljust(CHUNK, b"\0")


def evtx(chunks: list[bytes], following: int) -> bytes:
    """Return a file of chunks."""
    head = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, len(chunks) - 1, following, 128, 1, 3, 4096, len(chunks))
    head += bytes(76)
    head += struct.pack("<II", 0, zlib.crc32(head))
    return b"".join([head.ljust(4096, b"\0"), *chunks])


def damaged() -> bytes:
    """Return a file with a record that is damaged, and a chunk that is none."""
    whole = chunk(TRAPS, 101)
    at = whole.index(b"**\0\0", whole.index(b"**\0\0", CHUNK_HEADER) + 4)  # the second record
    whole = whole[: at + 28] + b"\x73" + whole[at + 29 :]
    lost = b"ElfChnk?" + chunk(NORMAL, 201)[8:]
    return evtx([whole, lost, chunk(NORMAL[:1], 301)], 302)


def rows(events: list[Made], language: str) -> list[list[str]]:
    """Return events as the Event Viewer of a language lists them, newest first."""
    words = WORDS[language]
    found = []
    for provider, event, time, fields in reversed(events):
        moment = datetime.fromisoformat(time).astimezone(words["zone"])
        shown = {name: words["words"].get(value, value) for name, value in fields.items()}
        if provider == SYSMON:
            lines = "\r\n".join(f"{name}: {value}" for name, value in fields.items())
            body = f"Network connection detected:\r\n{lines}" if event == 3 else f"Dns query:\r\n{lines}"
        else:
            body = f"{words['title']}\r\n\r\n{words['group']}:\r\n{message(shown, words['names'])}"
        found.append([words["level"], moment.strftime(words["time"]), provider, str(event), words["task"], body])
    return found


def csv(header: str, lines: list[list[str]], delimiter: str = ",") -> str:
    """Return a table; fields are quoted where they have to be."""
    made = [header]
    for line in lines:
        fields = ('"' + f.replace('"', '""') + '"' if any(c in f for c in '"\n,;') else f for f in line)
        made.append(delimiter.join(fields))
    return "\r\n".join(made) + "\r\n"


def words() -> dict[str, dict[str, Any]]:
    """Return what the Event Viewer calls things, by language."""
    from zoneinfo import ZoneInfo

    japanese = {
        "ProcessID": "プロセス ID", "Application": "アプリケーション名", "Direction": "方向",
        "SourceAddress": "ソース アドレス", "SourcePort": "ソース ポート", "DestAddress": "宛先アドレス",
        "DestPort": "宛先ポート", "Protocol": "プロトコル", "FilterRTID": "フィルター実行時 ID",
    }  # fmt: skip
    german = {
        "ProcessID": "Prozess-ID", "Application": "Anwendungsname", "Direction": "Richtung",
        "SourceAddress": "Quelladresse", "SourcePort": "Quellport", "DestAddress": "Zieladresse",
        "DestPort": "Zielport", "Protocol": "Protokoll", "FilterRTID": "Filterlaufzeit-ID", "LayerName": "Ebenenname",
    }  # fmt: skip
    english = {
        "ProcessID": "Process ID", "Application": "Application Name", "Direction": "Direction",
        "SourceAddress": "Source Address", "SourcePort": "Source Port", "DestAddress": "Destination Address",
        "DestPort": "Destination Port", "Protocol": "Protocol",
    }  # fmt: skip
    return {
        "ja": {"names": japanese, "words": {"%%14592": "着信", "%%14593": "送信"}, "level": "情報", "task": "接続",
               "title": "Windows フィルターリング プラットフォームで、接続が許可されました。",
               "group": "ネットワーク情報",
               "time": "%Y/%m/%d %H:%M:%S", "zone": ZoneInfo("Asia/Tokyo")},
        "de": {"names": german, "words": {"%%14592": "Eingehend", "%%14593": "Ausgehend"}, "level": "Informationen",
               "task": "Filterplattformverbindung", "title": "Eine Verbindung wurde zugelassen.",
               "group": "Netzwerkinformationen", "time": "%d.%m.%Y %H:%M:%S", "zone": ZoneInfo("Europe/Berlin")},
        "en": {"names": english, "words": {"%%14592": "Inbound", "%%14593": "Outbound"}, "level": "Information",
               "task": "Filtering Platform Connection", "title": "A connection was permitted.",
               "group": "Network Information", "time": "%m/%d/%Y %I:%M:%S %p", "zone": ZoneInfo("America/New_York")},
    }  # fmt: skip


WORDS = words()


def write(name: str, content: str | bytes, **hints: str) -> None:
    """Write a sample, with what has to be said about it."""
    path = FOLDER / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if hints:
        path.with_name(f"{name}.hints.json").write_text(json.dumps(hints) + "\n")


def main() -> None:
    """Write all samples."""
    write("normal.evtx", evtx([chunk(NORMAL, 1)], 10))
    write("traps.evtx", damaged())
    shown = "".join(xml(made, number) for number, made in enumerate(NORMAL, 1))
    write("normal.xml", f'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\r\n<Events>{shown}</Events>')
    write("unknown.xml", "\n".join(xml(made, number) for number, made in enumerate(UNKNOWN, 1)) + "\n")
    wide = "\r\n".join(xml(made, number) for number, made in enumerate(TRAPS, 1)) + "\r\n"
    broken = xml(NORMAL[0], 14).replace("</Event>", "") + xml(NORMAL[4], 15).replace("</Data>", "</Date>", 1)
    write("traps.xml", ("\ufeff" + wide + broken + "<!-- cut -->\r\n<Evxnt/>").encode("utf-16-le"))
    write("winlogbeat.json", "".join(json.dumps(beat(made, n)) + "\n" for n, made in enumerate(NORMAL, 1)))
    dumped = [tree(made, number) for number, made in enumerate(NORMAL[:5], 1)]
    write("dumped.json", json.dumps(dumped, indent=2) + "\n")
    write("traps.json", traps_json())
    english, japanese = rows(NORMAL, "en"), rows(NORMAL, "ja")
    write("english.csv", "\ufeff" + csv("Level,Date and Time,Source,Event ID,Task Category", english),
          timezone="America/New_York")  # fmt: skip
    header = "レベル,日付と時刻,ソース,イベント ID,タスクのカテゴリ"
    write("japanese.csv", csv(header, japanese).encode("cp932"), timezone="Asia/Tokyo")
    header = "Ebene;Datum und Uhrzeit;Quelle;Ereignis-ID;Aufgabenkategorie"
    german = csv(header, rows(NORMAL, "de"), ";").encode("utf-16-le")
    write("german.csv", b"\xff\xfe" + german, timezone="Europe/Berlin")
    write("sysmon.csv", csv("Level,Date and Time,Source,Event ID,Task Category", rows(NORMAL[:4], "en")))
    write("traps.csv", traps_csv(), timezone="Europe/London")
    write("sysmon_config.other", '<Sysmon schemaversion="4.90"><EventFiltering><NetworkConnect onmatch="exclude"/>'
          "</EventFiltering></Sysmon>\n")  # fmt: skip
    write("eve.other", '{"timestamp":"2015-05-21T10:00:01.1+0900","event_type":"flow","src_ip":"192.0.2.7"}\n')
    write("inventory.other", "Date and Time,Source,Owner\r\n2015/05/21 10:00:01,pc7,mori\r\n")


def traps_json() -> str:
    """Return events of every layout, and lines that are none."""
    flat = {"EventID": 3, "SourceName": SYSMON, "EventTime": "2015-05-21 10:00:01",
            "@timestamp": "2015-05-21T01:00:09Z", **NORMAL[0][3]}  # fmt: skip
    wazuh = {"_source": {"data": {"win": {
        "system": {"eventID": "3", "providerName": SYSMON, "systemTime": "2015-05-21T01:00:02Z"},
        "eventdata": {name[0].lower() + name[1:]: value for name, value in NORMAL[2][3].items()}}}}}  # fmt: skip
    dotted = {"@timestamp": "2015-05-21T01:00:05Z", "winlog.event_id": 5156, "winlog.provider_name": SECURITY,
              **{f"winlog.event_data.{name}": value for name, value in NORMAL[4][3].items()}}  # fmt: skip
    common = {"@timestamp": "2015-05-21T01:00:00.900Z", "winlog": {"event_id": 22, "provider_name": SYSMON},
              "dns": {"question": {"name": "www.shop.example"}, "resolved_ip": ["203.0.113.9"]}}  # fmt: skip
    lines = "\r\n".join(f"{name}: {value}" for name, value in NORMAL[3][3].items())
    shell = {"Id": 3, "ProviderName": SYSMON, "TimeCreated": "/Date(1432170004000)/",
             "Message": f"Network connection detected:\r\n{lines}"}  # fmt: skip
    zoneless = {"EventID": 5157, "SourceName": SECURITY, "EventTime": "2015-05-21T01:00:07+00:00", **NORMAL[6][3]}
    good = [json.dumps(one) for one in (flat, wazuh, dotted, common, shell, zoneless, tree(NORMAL[0], 1))]
    bad = ['{"winlog": {"event_id": 3, "provider_name"', '{"Event": []}', '"text"', '{"EventID": "x"}',
           '{"EventID": 5156, "SourceName": "Microsoft-Windows-Security-Auditing"}', "[" * 80 + "]" * 80]  # fmt: skip
    listed = json.dumps({"Events": [beat(NORMAL[4], 5), {"no": "event"}]})
    return "\n".join([good[0], *bad, *good[1:], listed, json.dumps(beat(NORMAL[7], 8))]) + "\n"


def traps_csv() -> str:
    """Return a table out of a spreadsheet: ``sep=``, dates with the day first, headers that come again."""
    header = "Level;Date and Time;Source;Event ID;Task Category"
    fine = message(NORMAL[4][3], WORDS["en"]["names"])
    lines = [
        ["Information", "28/10/2015 09:00:00", SECURITY, "5156", "C", fine],
        ["Information", "03/04/2015 09:00:00", SECURITY, "5156", "C", fine],  # the third of April
        ["Information", "25/10/2015 01:30:00", SECURITY, "5156", "C", fine],  # shown twice on the clock
        ["Level", "Date and Time", "Source", "Event ID", "Task Category"],
        ["Information", "10/28/2015 09:00:00", SECURITY, "5156", "C", fine],  # no such month
        ["Information", "yesterday", SECURITY, "5156", "C", fine],
        ["Information", "28/10/2015 09:00:01", SECURITY, "5156", "C"],  # no message
        ["Information", "28/10/2015 09:00:01", SECURITY, "many", "C", fine],
        ["Information", "28/10/2015 09:00:01", SECURITY],
        ["Information", "28/10/2015 09:00:02", SECURITY, "5156", "C", fine.replace("%%14593", "sideways")],
        ["Information", "28/10/2015 09:00:03", SECURITY, "5158", "C", 'A "quoted" word'],
    ]
    return "sep=;\r\n" + csv(header, lines, ";") + '"Information;28/10/2015 09:00:04'


if __name__ == "__main__":
    main()
