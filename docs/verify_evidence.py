#!/usr/bin/env python3
"""Verifies evidence of equivocation (keyglass-evidence/v1, docs/evidence.md) with nothing but Python 3.9 or later.

    verify_evidence.py --policy POLICY FILE...     keys from a tlog-policy file; names faulty witnesses too
    verify_evidence.py --vkey VKEY FILE...         the log's keys alone, one option for each

For each file it prints one line: the name of the file, and either `convicts`, the origin, the two sizes and the witnesses that
cosigned both sides, or `proves nothing` and why. The exit code is 0 if all files convict, 1 if one does not, 2 for wrong usage.

Keys are Ed25519 (signature types 0x01 and 0x04). ML-DSA-44 is not in Python's library: a log's signature of that type does
not count here, and a witness is not named for one.
"""

import argparse
import base64
import binascii
import hashlib
import re
import sys

MAX_NOTE = 256 * 1024
MAX_EVIDENCE = 2 * MAX_NOTE + 8192
MAX_CHECKPOINT = 32 * 1024
MAX_VKEY = 8192
MAX_SIGNATURES = 64
MAX_PROOF = 65


class Refused(Exception):
    """Why something proves nothing."""


# Ed25519 (RFC 8032, section 5.1), in affine terms where that is short and in projective ones where it is slow.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def decode_point(octets):
    """The point with this encoding, as (X, Y, Z, T); None where there is none or it has another encoding too."""
    number = int.from_bytes(octets, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * ROOT % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


NEUTRAL = (0, 1, 1, 0)
BASE = decode_point(bytes([0x58] + [0x66] * 31))


def decode_key(octets):
    """The point of a public key or of a commitment; None if it is none, is not encoded as it should be, or is of small order."""
    point = decode_point(octets) if len(octets) == 32 else None
    return None if point is None or same(times(8, point), NEUTRAL) else point


def ed25519_verifies(key, message, signature):
    """Strictly: one encoding of everything, and no key or commitment of small order."""
    if len(signature) != 64:
        return False
    public, commitment = decode_key(key), decode_key(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return same(times(scalar, BASE), add(commitment, times(challenge, public)))


# The spellings of signed-note, tlog-checkpoint and tlog-policy.


def decode_base64(text):
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("not base64") from None
    if base64.b64encode(octets).decode() != text:
        raise Refused("base64 in another spelling than the canonical one")
    return octets


def decode_hash(text):
    octets = decode_base64(text)
    if len(octets) != 32:
        raise Refused("not a hash of 32 bytes")
    return octets


def decode_decimal(text):
    if not re.fullmatch("0|[1-9][0-9]{0,19}", text, re.ASCII) or int(text) >= 2**64:
        raise Refused("not a decimal number")
    return int(text)


def check_name(name):
    if not name or any(c.isspace() or c == "+" or c < " " for c in name):
        raise Refused("not the name of a key")


class Vkey:
    """name+id+base64(type, public key)."""

    def __init__(self, text):
        parts = text.split("+", 2)
        if len(parts) != 3 or len(text.encode()) > MAX_VKEY:
            raise Refused("not a verifier key")
        self.name, key_id, key = parts
        check_name(self.name)
        octets = decode_base64(key)
        if not octets or not re.fullmatch("[0-9a-f]{8}", key_id, re.ASCII):
            raise Refused("not a verifier key")
        self.kind, self.key, self.id = octets[0], octets[1:], bytes.fromhex(key_id)
        if self.kind not in (1, 4, 6):
            raise Refused("a verifier key of an unknown type")
        if len(self.key) != 1312 if self.kind == 6 else decode_key(self.key) is None:
            raise Refused("a verifier key that is no key of its type")
        if hashlib.sha256(self.name.encode() + b"\n" + octets).digest()[:4] != self.id:
            raise Refused("a verifier key whose id is not its own")

    def signed(self, note):
        """Whether one line of a note is a signature of this key; other lines of it are not held against the note."""
        return any(
            name == self.name and key_id == self.id and self._verifies(note.text, signature)
            for name, key_id, signature in note.signatures
        )

    def _verifies(self, text, signature):
        if self.kind == 1:
            return ed25519_verifies(self.key, text.encode(), signature)
        if self.kind == 4 and len(signature) == 72:
            time = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            return 0 < time < 2**63 and ed25519_verifies(self.key, message, signature[8:])
        return False


class Note:
    """A signed note: the text, and (name, id, signature) of each line."""

    def __init__(self, text, lines):
        self.text, self.signatures = text, []
        if len((text + "\n" + lines).encode()) > MAX_NOTE:
            raise Refused("a note that is too long")
        if any(c < " " and c != "\n" for c in text + lines) or not lines.endswith("\n"):
            raise Refused("not a signed note")
        lines = lines[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise Refused("too many signature lines")
        for line in lines:
            parts = line.split(" ")
            if len(parts) != 3 or parts[0] != "\u2014":
                raise Refused("not a signature line")
            check_name(parts[1])
            octets = decode_base64(parts[2])
            if len(octets) < 5:
                raise Refused("a signature line without a signature")
            self.signatures.append((parts[1], octets[:4], octets[4:]))


def parse_checkpoint(note):
    """Origin, size and root."""
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines) or len(note.text.encode()) > MAX_CHECKPOINT:
        raise Refused("not a checkpoint")
    return lines[0], decode_decimal(lines[1]), decode_hash(lines[2])


def parse_declaration(note):
    """Origin, final size and root of a log that declared its end."""
    lines = note.text[:-1].split("\n")
    words = ["from ", "size ", "root ", "to "]
    if len(lines) != 5 or lines[0] != "keyglass-handover/v1":
        raise Refused("not a declaration of a log's end")
    if not all(line.startswith(word) for line, word in zip(lines[1:], words)):
        raise Refused("not a declaration of a log's end")
    origin, size, root, to = (line[len(word) :] for line, word in zip(lines[1:], words))
    successor = Vkey(to)
    if successor.kind != 1 or successor.name == origin or not origin:
        raise Refused("not a declaration of a log's end")
    return origin, decode_decimal(size), decode_hash(root)


# RFC 6962, section 2.1.2: a consistency proof, from the leaves' side.


def verify_consistency(old, old_root, new, new_root, proof):
    def parent(left, right):
        return hashlib.sha256(b"\x01" + left + right).digest()

    proof = list(proof)
    if old & (old - 1) == 0:
        # The whole old tree is one node of the new one.
        proof.insert(0, old_root)
    if not proof:
        raise Refused("the consistency proof does not verify")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    seen_old = seen_new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise Refused("the consistency proof does not verify")
        if node & 1 or node == last:
            seen_old, seen_new = parent(sibling, seen_old), parent(sibling, seen_new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            seen_new = parent(seen_new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or seen_old != old_root or seen_new != new_root:
        raise Refused("the consistency proof does not verify")


def verify(octets, log_keys, witnesses):
    """Origin, sizes and faulty witnesses of evidence that convicts."""
    if len(octets) > MAX_EVIDENCE:
        raise Refused("the file is too long")
    try:
        parts = octets.decode().split("\n\n")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    head = parts[0].split("\n")
    if head[0] != "keyglass-evidence/v1" or len(head) < 2:
        raise Refused("the first line is not keyglass-evidence/v1")
    kind, more = head[1], head[2:]
    count = {"same-size": 4, "empty-tree": 2, "inconsistent": 4, "after-handover": 4}.get(kind)
    if count is None or len(parts) != count + 1 or bool(more) != (kind == "inconsistent"):
        raise Refused("not the parts of a kind of evidence")
    # Splitting took the newline before each empty line away; the last note still has its own.
    notes = [Note(parts[1] + "\n", parts[2] + ("\n" if count == 4 else ""))]
    if count == 4:
        notes.append(Note(parts[3] + "\n", parts[4]))

    first = parse_declaration(notes[0]) if kind == "after-handover" else parse_checkpoint(notes[0])
    second = parse_checkpoint(notes[-1])
    if first[0] != second[0]:
        raise Refused("the notes are of different origins")
    for note in notes:
        if not any(key.name == first[0] and key.signed(note) for key in log_keys):
            raise Refused("a note is not signed by a known key of the log")

    (_, a, a_root), (_, b, b_root) = first, second
    if kind == "empty-tree":
        contradict = a == 0 and a_root != hashlib.sha256(b"").digest()
    elif kind == "same-size":
        contradict = a == b and a_root != b_root
    elif kind == "after-handover":
        contradict = b > a or (b == a and a_root != b_root)
    else:
        if not more[0].startswith("root ") or len(more) - 1 > MAX_PROOF:
            raise Refused("not the head of inconsistent")
        root, proof = decode_hash(more[0][5:]), [decode_hash(line) for line in more[1:]]
        contradict = 1 <= a < b and root != a_root
        if contradict:
            verify_consistency(a, root, b, b_root, proof)
    if not contradict:
        raise Refused("the notes do not contradict each other")
    if kind == "after-handover":
        witnesses = []
    faulty = [name for name, key in witnesses if all(key.signed(note) for note in notes)]
    return first[0], a, b, faulty


def read_policy(path):
    """The log keys and the (name, key) of the witnesses. Groups and quorum do not matter to evidence."""
    logs, witnesses = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            items = line.split()
            if items[:1] == ["log"] and len(items) in (2, 3):
                logs.append(Vkey(items[1]))
            elif items[:1] == ["witness"] and len(items) in (3, 4):
                witnesses.append((items[1], Vkey(items[2])))
    return logs, witnesses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy")
    parser.add_argument("--vkey", action="append", default=[])
    parser.add_argument("file", nargs="+")
    arguments = parser.parse_args()
    try:
        logs, witnesses = read_policy(arguments.policy) if arguments.policy else ([], [])
        logs += [Vkey(vkey) for vkey in arguments.vkey]
    except (OSError, UnicodeDecodeError, Refused) as error:
        parser.error(str(error))
    if not logs:
        parser.error("no key of a log: give --policy or --vkey")
    all_convict = True
    for path in arguments.file:
        try:
            with open(path, "rb") as file:
                origin, a, b, faulty = verify(file.read(MAX_EVIDENCE + 1), logs, witnesses)
            print(f"{path}: convicts {origin} {a} {b} {','.join(faulty) or '-'}")
        except (OSError, Refused) as error:
            print(f"{path}: proves nothing: {error}")
            all_convict = False
    sys.exit(0 if all_convict else 1)


if __name__ == "__main__":
    main()
