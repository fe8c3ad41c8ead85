"""The cases of malformed.py: which message of which handshake is changed, how, and what the server must do."""
import dataclasses
import re
import typing

from tlslite.constants import ContentType

import malformed_hello as hello

ECHO = "echo"
ENDS = "the server ends the connection"
TIMEOUT = "the handshake timeout ends the connection"
# In place of bytes to send: FIN.
CLOSE = object()

HANDSHAKE, DATA, CCS, ALERT = (
    ContentType.handshake, ContentType.application_data, ContentType.change_cipher_spec, ContentType.alert)


@dataclasses.dataclass
class Case:
    """A change of one message. `rewrite` changes the message before the client hashes it, `records` divides it into
    records (content type, content), and `wire` changes the bytes of each record after encryption."""
    name: str
    expected: str
    version: str
    message: str = "hello 1"
    rewrite: typing.Callable = lambda content: content
    records: typing.Callable = lambda kind, content: [
        (kind, content[at:at + 2 ** 14]) for at in range(0, len(content) or 1, 2 ** 14)]
    wire: typing.Callable = lambda record: [record]
    is_swapped: bool = False
    after_echo: typing.Callable = None


def flip(content, at):
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def with_length(content):
    """A record whose header has the length of the content."""
    return content[:3] + (len(content) - 5).to_bytes(2, "big") + content[5:]


def shifted(number, delta):
    return ((int.from_bytes(number, "big") + delta) % 256 ** len(number)).to_bytes(len(number), "big")


def one_byte_each(content):
    return [content[at:at + 1] for at in range(len(content))]


# Changes of a message before encryption: its content as records.
PLAIN = {
    "first byte flipped": lambda kind, content: [(kind, flip(content, 0))],
    "middle byte flipped": lambda kind, content: [(kind, flip(content, len(content) // 2))],
    "last byte flipped": lambda kind, content: [(kind, flip(content, -1))],
    "truncated by one": lambda kind, content: [(kind, content[:-1])],
    "extended by one": lambda kind, content: [(kind, content + b"\0")],
    "empty": lambda kind, content: [(kind, b"")],
    "twice": lambda kind, content: [(kind, content), (kind, content)],
    "twice in a record": lambda kind, content: [(kind, content + content)],
    "as alert": lambda kind, content: [(ALERT, content)],
    "as handshake": lambda kind, content: [(HANDSHAKE, content)],
    "as change_cipher_spec": lambda kind, content: [(CCS, content)],
    "as application data": lambda kind, content: [(DATA, content)],
    "as heartbeat": lambda kind, content: [(24, content)],
    "as content type 0": lambda kind, content: [(0, content)],
    "as content type 99": lambda kind, content: [(99, content)],
    "in records of one byte": lambda kind, content: [(kind, byte) for byte in one_byte_each(content)],
    "after an empty record": lambda kind, content: [(kind, b""), (kind, content)],
    "before an empty record": lambda kind, content: [(kind, content), (kind, b"")],
    "after application data": lambda kind, content: [(DATA, b"early"), (kind, content)],
    "after a heartbeat": lambda kind, content: [(24, b"\1\0\1a"), (kind, content)],
    "after an unknown handshake message": lambda kind, content: [(HANDSHAKE, b"\xf0\0\0\1a"), (kind, content)],
    "after a HelloRequest": lambda kind, content: [(HANDSHAKE, b"\0\0\0\0"), (kind, content)],
    "interleaved with an alert": lambda kind, content: [(kind, content[:2]), (ALERT, b"\1\x5a"), (kind, content[2:])],
}

# Changes of a record as it is sent.
WIRE = {
    "record with its type flipped": lambda record: [flip(record, 0)],
    "record with its major version flipped": lambda record: [flip(record, 1)],
    "record of SSL 3.0": lambda record: [record[:2] + b"\0" + record[3:]],
    "record with a length longer by one": lambda record: [record[:3] + shifted(record[3:5], 1) + record[5:]],
    "record with a length shorter by one": lambda record: [record[:3] + shifted(record[3:5], -1) + record[5:]],
    "record with a length of 0": lambda record: [record[:3] + b"\0\0" + record[5:]],
    "record with a length of 65535": lambda record: [record[:3] + b"\xff\xff" + record[5:]],
    "record with its first byte flipped": lambda record: [flip(record, 5)],
    "record with its middle byte flipped": lambda record: [flip(record, 5 + (len(record) - 5) // 2)],
    "record with its last byte flipped": lambda record: [flip(record, -1)],
    "record truncated": lambda record: [with_length(record[:-1])],
    "record extended": lambda record: [with_length(record + b"\0")],
    "record emptied": lambda record: [with_length(record[:5])],
    "record cut short": lambda record: [record[:-1]],
    "record dropped": lambda record: [],
    "record replayed": lambda record: [record, record],
    "record in segments of one byte": one_byte_each,
    "FIN before the record": lambda record: [CLOSE],
    "FIN in the header": lambda record: [record[:3], CLOSE],
    "FIN in the record": lambda record: [record[:5 + (len(record) - 5) // 2], CLOSE],
    "FIN after the record": lambda record: [record, CLOSE],
}

MESSAGES = [
    ("1.2", ["hello 1", "key exchange 1", "ccs 1", "finished 1", "data 2", "alert 1"]),
    ("1.3", ["hello 1", "ccs 1", "finished 1", "data 2", "key update 1", "alert 1"]),
    ("1.3 retry", ["hello 2"]),
]

# The content type of a message, if it is not `handshake`, as in the names above.
OTHER_KINDS = {"ccs 1": "change_cipher_spec", "alert 1": "alert", "data 2": "application data"}

# Changes that are no error, with the reason, and those after which the server waits for the rest of a message.
HARMLESS = [
    ("TCP has no message boundaries", ".*: record in segments of one byte"),
    ("a message may be divided into records", ".*(?<!alert 1): in records of one byte"),
    ("the version of a record is ignored (RFC 8446, 5.1); TLS 1.2 authenticates it",
     "1.2, (hello|key exchange|ccs) 1: record of SSL 3.0|1.3.*: record of SSL 3.0"),
    ("change_cipher_spec of TLS 1.3 is ignored", "1.3, ccs 1: (twice|record dropped|record replayed)"),
    ("data may be empty, and divided in any way",
     "1.[23], data 2: (empty|(after|before) an empty record|after application data)"),
    ("a warning", "1.[23], data 2: interleaved with an alert"),
    ("TLS 1.2 has no rule for empty encrypted records of the handshake",
     "1.2, finished 1: (after|before) an empty record"),
    ("the TLS library ignores an empty record (RFC 8446, 5.4 requires an alert); many are an error",
     "1.3, (finished|key update) 1: after an empty record|1.3, after an echo: empty handshake record"),
    ("the TLS library ignores the outer type of encrypted records",
     "1.3, (finished 1|data 2|key update 1|alert 1): record with its type flipped"),
    ("data may precede a KeyUpdate", "1.3, key update 1: after application data"),
    ("the KeyUpdate does not request another", "1.3, key update 1: last byte flipped"),
    ("all data is before the alert; FIN ends the connection without it",
     "1.[23], alert 1: as (handshake|application data)|"
     "1.[23], alert 1: record (dropped|cut short|with a length longer by one)"),
    ("the server reads nothing after the first close_notify",
     "1.[23], alert 1: (twice|before an empty record|interleaved with an alert|record replayed)"),
    ("data may precede an alert", "1.[23], alert 1: after application data"),
    ("an unknown warning", "1.2, alert 1: (middle|last) byte flipped"),
    ("the TLS library ignores bytes after the server name",
     "1.[23], ClientHello with length of element of extension 0 too short by one"),
]
WAITING = [
    # A warning without authentication is not the end of the data.
    "in place of a ClientHello: close_notify",
    "1.2, hello 1: (truncated by one|record truncated)",
    "1.3.*, hello [12]: (truncated by one|record truncated)",
    "1.2, finished 1: (truncated by one|empty)",
    "1.2, (hello|finished) 1: .*(swapped with the next|record dropped|record cut short|longer by one)",
    "1.3.*, hello [12]: .*(swapped with the next|record dropped|record cut short|longer by one)",
]


def message_cases():
    for version, messages in MESSAGES:
        for message in messages:
            of = "%s, %s: " % (version, message)
            kind = OTHER_KINDS.get(message, "handshake")
            for change, records in PLAIN.items():
                if change == "as " + kind:
                    continue
                # Other data is not malformed.
                if message == "data 2" and re.search("flipped|by one|twice", change):
                    continue
                yield Case(of + change, ENDS, version, message, records=records)
            for change, wire in WIRE.items():
                yield Case(of + change, ENDS, version, message, wire=wire)
            if message != "alert 1":
                yield Case(of + "swapped with the next", ENDS, version, message, is_swapped=True)


def hello_cases():
    for version, rejected in (("1.2", hello.REJECTED_12), ("1.3", hello.REJECTED_13)):
        of = version + ", ClientHello with "
        for name, rewrite in (*hello.length_rewrites(version), *hello.REJECTED.items(), *rejected.items()):
            yield Case(of + name, ENDS, version, rewrite=rewrite)
        for name, rewrite in hello.ACCEPTED.items():
            yield Case(of + name, ECHO, version, rewrite=rewrite)
    for name, content in hello.KEY_EXCHANGES.items():
        yield Case("1.2, ClientKeyExchange with " + name, ENDS, "1.2", "key exchange 1",
                   rewrite=lambda _, content=content: content)
    for name, content in hello.OTHER_BYTES.items():
        yield Case("in place of a ClientHello: " + name, ENDS, "1.3", wire=lambda record, content=content: [content])


def later_cases():
    for version, rejected in (("1.2", {}), ("1.3", hello.LATER_REJECTED_13)):
        of = version + ", after an echo: "
        for name, action in {**hello.LATER_REJECTED, **rejected}.items():
            yield Case(of + name, ENDS, version, "none", after_echo=action)
        for name, action in hello.LATER_ACCEPTED.items():
            yield Case(of + name, ECHO, version, "none", after_echo=action)


def all_cases():
    """The cases, with what is expected of those of HARMLESS and WAITING; each of their lines must have a case."""
    cases = [*message_cases(), *hello_cases(), *later_cases()]
    patterns = [(ECHO, pattern) for _, pattern in HARMLESS] + [(TIMEOUT, pattern) for pattern in WAITING]
    for expected, pattern in patterns:
        listed = [case for case in cases if re.fullmatch(pattern, case.name)]
        assert listed, pattern
        for case in listed:
            case.expected = expected
    return cases


CASES = all_cases()
