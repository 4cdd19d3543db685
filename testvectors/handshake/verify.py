#!/usr/bin/env python3
"""Computes Keyglass's handshake vectors anew, with nothing but Python 3.9 or later.

    verify.py handshake.json

Every primitive is written out here after its specification: X25519 (RFC 7748), Ed25519 verification (RFC 8032),
ChaCha20-Poly1305 (RFC 8439), HKDF (RFC 5869) and ML-KEM-768 (FIPS 203); hashes and HMAC come from the library. Nothing
runs in constant time, so that this is for checking and for nothing else. The exit code is 0 if every case agrees.
"""

import hashlib
import hmac
import json
import struct
import sys

X3DH, PQXDH = 1, 2


class Refused(Exception):
    """Why a message or bundle is not used, by the name that the vectors have for it."""


# X25519 (RFC 7748, section 5)

P = 2**255 - 19
LOW_ORDER = {
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
}


def x25519(secret, public):
    k = int.from_bytes(secret, "little") & ~7 & (2**255 - 1) & ~(1 << 254) | 1 << 254
    u = int.from_bytes(public, "little")
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a % P, c * b % P
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    shared = (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")
    if shared == bytes(32):
        raise Refused("low_order")
    return shared


def x25519_public(secret):
    return x25519(secret, (9).to_bytes(32, "little"))


def check_dh_key(key):
    u = int.from_bytes(key, "little")
    if u >= P or u in LOW_ORDER:
        raise Refused("malformed")


# Ed25519 (RFC 8032, section 5.1)

L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def decode_point(octets):
    number = int.from_bytes(octets, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if x * x % P != xx:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != xx or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def is_same_point(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verifies(key, message, signature):
    a, r, s = decode_point(key), decode_point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    if any(is_same_point(multiply(8, point), (0, 1, 1, 0)) for point in (a, r)):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return is_same_point(multiply(s, BASE), add(r, multiply(k, a)))


# ChaCha20-Poly1305 (RFC 8439)


def chacha20_block(key, counter, nonce):
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    work = state[:]

    def quarter(a, b, c, d):
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            work[x] = (work[x] + work[y]) & 0xFFFFFFFF
            rotated = work[z] ^ work[x]
            work[z] = (rotated << bits | rotated >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, work)))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start : start + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def keystream_xor(key, nonce, text):
    out = b""
    for number, start in enumerate(range(0, len(text), 64)):
        block = chacha20_block(key, number + 1, nonce)
        out += bytes(a ^ b for a, b in zip(text[start : start + 64], block))
    return out


def aead_tag(key, nonce, associated, ciphertext):
    def padded(data):
        return data + bytes(-len(data) % 16)

    lengths = struct.pack("<QQ", len(associated), len(ciphertext))
    return poly1305(chacha20_block(key, 0, nonce)[:32], padded(associated) + padded(ciphertext) + lengths)


def aead_seal(key, nonce, associated, plaintext):
    ciphertext = keystream_xor(key, nonce, plaintext)
    return ciphertext + aead_tag(key, nonce, associated, ciphertext)


def aead_open(key, nonce, associated, sealed):
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if aead_tag(key, nonce, associated, ciphertext) != tag:
        raise Refused("not_authentic")
    return keystream_xor(key, nonce, ciphertext)


# HKDF-SHA256 (RFC 5869)


def hkdf(salt, material, info, length):
    pseudorandom = hmac.new(salt, material, hashlib.sha256).digest()
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:length]


# ML-KEM-768 (FIPS 203)

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4
EK_LEN, CIPHERTEXT_LEN = 1184, 1088


def bit_reversed(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reversed(i) + 1, Q) for i in range(128)]


def ntt(f):
    f, i, length = f[:], 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            i += 1
        length //= 2
    return f


def inverse_ntt(f):
    f, i, length = f[:], 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETAS[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def product(f, g):
    out = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def plus(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def dot(f, g):
    total = [0] * N
    for a, b in zip(f, g):
        total = plus(total, product(a, b))
    return total


def byte_encode(d, f):
    number = sum(x << (d * i) for i, x in enumerate(f))
    return number.to_bytes(32 * d, "little")


def byte_decode(d, octets):
    number = int.from_bytes(octets, "little")
    return [number >> (d * i) & ((1 << d) - 1) for i in range(N)]


def compress(d, f):
    return [((x << d) + Q // 2) // Q & ((1 << d) - 1) for x in f]


def decompress(d, f):
    return [(x * Q + (1 << (d - 1))) >> d for x in f]


def sample_ntt(seed):
    out, stream = [], hashlib.shake_128(seed).digest(2048)
    for i in range(0, len(stream), 3):
        a, b, c = stream[i : i + 3]
        for x in (a | (b & 15) << 8, b >> 4 | c << 4):
            if x < Q and len(out) < N:
                out.append(x)
        if len(out) == N:
            return out
    raise AssertionError("a stream of 2048 octets was too short")


def sample_noise(seed, number):
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([number])).digest(64 * ETA), "little")
    out = []
    for i in range(N):
        part = bits >> (2 * ETA * i)
        out.append(((part & 1) + (part >> 1 & 1) - (part >> 2 & 1) - (part >> 3 & 1)) % Q)
    return out


def matrix(rho):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def hash_g(data):
    digest = hashlib.sha3_512(data).digest()
    return digest[:32], digest[32:]


def kem_keys(seed):
    """The key pair of the 64-octet seed d, z: (secret vector, public key, z)."""
    rho, sigma = hash_g(seed[:32] + bytes([K]))
    s = [ntt(sample_noise(sigma, i)) for i in range(K)]
    e = [ntt(sample_noise(sigma, K + i)) for i in range(K)]
    t = [plus(dot(row, s), e[i]) for i, row in enumerate(matrix(rho))]
    return s, b"".join(byte_encode(12, x) for x in t) + rho, seed[32:]


def check_kem_key(key):
    if any(x >= Q for i in range(K) for x in byte_decode(12, key[384 * i : 384 * (i + 1)])):
        raise Refused("malformed")


def pke_encrypt(key, message, randomness):
    t, rho = [byte_decode(12, key[384 * i : 384 * (i + 1)]) for i in range(K)], key[384 * K :]
    a = matrix(rho)
    y = [ntt(sample_noise(randomness, i)) for i in range(K)]
    u = [
        plus(inverse_ntt(dot([a[j][i] for j in range(K)], y)), sample_noise(randomness, K + i)) for i in range(K)
    ]
    v = plus(plus(inverse_ntt(dot(t, y)), sample_noise(randomness, 2 * K)), decompress(1, byte_decode(1, message)))
    return b"".join(byte_encode(DU, compress(DU, x)) for x in u) + byte_encode(DV, compress(DV, v))


def kem_encapsulate(key, randomness):
    shared, coins = hash_g(randomness + hashlib.sha3_256(key).digest())
    return pke_encrypt(key, randomness, coins), shared


def kem_decapsulate(keys, ciphertext):
    s, key, z = keys
    u = [decompress(DU, byte_decode(DU, ciphertext[320 * i : 320 * (i + 1)])) for i in range(K)]
    v = decompress(DV, byte_decode(DV, ciphertext[320 * K :]))
    w = [(a - b) % Q for a, b in zip(v, inverse_ntt(dot(s, [ntt(x) for x in u])))]
    message = byte_encode(1, compress(1, w))
    shared, coins = hash_g(message + hashlib.sha3_256(key).digest())
    if pke_encrypt(key, message, coins) != ciphertext:
        return hashlib.shake_256(z + ciphertext).digest(32)
    return shared


# The handshake


class Reader:
    def __init__(self, octets):
        self.rest = octets

    def take(self, length):
        if len(self.rest) < length:
            raise Refused("malformed")
        head, self.rest = self.rest[:length], self.rest[length:]
        return head

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def end(self):
        if self.rest:
            raise Refused("malformed")


def opaque8(octets):
    return bytes([len(octets)]) + octets


def opaque16(octets):
    return struct.pack(">H", len(octets)) + octets


def u32(number):
    return struct.pack(">I", number)


def one_time_key_id(value):
    return value["batch"], value["id"]


def kem_key_id(value):
    if "last_resort" in value:
        return "last_resort", value["last_resort"]
    return ("one_time",) + one_time_key_id(value["one_time"])


def write_party(party):
    return (
        opaque8(party["label"])
        + party["identity_key"]
        + u32(party["device"])
        + party["signing_key"]
        + party["dh_key"]
    )


def write_ids(ids):
    signed, one_time, kem = ids
    out = u32(signed) + (b"\0" if one_time is None else b"\1" + u32(one_time[0]) + u32(one_time[1]))
    if kem is None:
        return out
    if kem[0] == "one_time":
        return out + b"\1" + u32(kem[1]) + u32(kem[2])
    return out + b"\2" + u32(kem[1])


def decode_message(octets):
    reader = Reader(octets)
    form = reader.number(1)
    if form not in (1, 2):
        raise Refused("malformed")
    message = {"suite": reader.number(2)}
    label = reader.take(reader.number(1))
    if not label:
        raise Refused("malformed")
    message["version"] = reader.number(4)
    identity_key, device = reader.take(32), reader.number(4)
    signing_key, dh_key = reader.take(32), reader.take(32)
    message["sender"] = {
        "label": label,
        "identity_key": identity_key,
        "device": device,
        "signing_key": signing_key,
        "dh_key": dh_key,
    }
    message["ephemeral"] = reader.take(32)
    for key in (identity_key, signing_key):
        point = decode_point(key)
        if point is None or is_same_point(multiply(8, point), (0, 1, 1, 0)):
            raise Refused("malformed")
    for key in (dh_key, message["ephemeral"]):
        check_dh_key(key)
    signed, presence, one_time, kem = reader.number(4), reader.number(1), None, None
    if presence > 1:
        raise Refused("malformed")
    if presence:
        one_time = reader.number(4), reader.number(4)
    message["kem_ciphertext"] = None
    if form == 2:
        kind = reader.number(1)
        if kind == 1:
            kem = "one_time", reader.number(4), reader.number(4)
        elif kind == 2:
            kem = "last_resort", reader.number(4)
        else:
            raise Refused("malformed")
        message["kem_ciphertext"] = reader.take(CIPHERTEXT_LEN)
    message["ids"] = signed, one_time, kem
    message["header"] = octets[: len(octets) - len(reader.rest)]
    length = reader.number(2)
    if not 16 <= length <= (64029 if form == 2 else 65126):
        raise Refused("malformed")
    message["ciphertext"] = reader.take(length)
    reader.end()
    return message


def transcript(origin, suite, initiator, responder, ephemeral, ids, keys, kem):
    """(info, associated data): `keys` are the signed and the one-time prekey, `kem` the KEM key and the ciphertext."""

    def start(tag):
        return (
            opaque8(tag)
            + opaque16(origin.encode())
            + struct.pack(">H", suite)
            + write_party(initiator)
            + write_party(responder)
        )

    tag = b"keyglass x3dh v1" if kem is None else b"keyglass pqxdh v1_CURVE25519_SHA-256_ML-KEM-768"
    info = start(tag) + ephemeral + write_ids(ids) + keys[0]
    info += b"\0" if keys[1] is None else b"\1" + keys[1]
    associated = start(b"keyglass x3dh associated data v1")
    if kem is not None:
        info += kem[0] + kem[1]
        associated += kem[0]
    return info, associated


def handshake_id(initiator, responder, ephemeral, ids):
    tag = opaque8(b"keyglass x3dh handshake v1")
    device = opaque8(responder["label"]) + u32(responder["device"]) + responder["signing_key"] + responder["dh_key"]
    parts = tag + write_party(initiator) + device + ephemeral + write_ids(ids)
    return hashlib.sha256(parts).digest()


def schedule(secrets, info):
    out = hkdf(bytes(32), b"\xff" * 32 + b"".join(secrets), info, 140)
    return [out[32 * i : 32 * (i + 1)] for i in range(4)] + [out[128:]]


def lookup(secrets, key, unknown, reused):
    if key not in secrets:
        raise Refused(unknown)
    if secrets[key] is None:
        raise Refused(reused)
    return secrets[key]


def accept(world, origin, octets):
    """Opens a message as Bob, whose log proves whatever sender it claims."""
    message = decode_message(octets)
    signed_id, one_time_id, kem_id = message["ids"]
    if message["suite"] not in (X3DH, PQXDH) or (message["suite"] == PQXDH) != (kem_id is not None):
        raise Refused("suite")
    signed = lookup(world["signed"], signed_id, "signed_prekey_unknown", None)
    one_time = kem = encapsulated = None
    if one_time_id is not None:
        one_time = lookup(world["one_time"], one_time_id, "one_time_prekey_unknown", "one_time_prekey_reused")
    if kem_id is not None:
        keys = kem_keys(lookup(world["kem"], kem_id, "kem_prekey_unknown", "kem_prekey_reused"))
        kem = keys[1], message["kem_ciphertext"]
        encapsulated = kem_decapsulate(keys, message["kem_ciphertext"])
    sender, ephemeral, bob = message["sender"], message["ephemeral"], world["responder"]
    secrets = [x25519(signed, sender["dh_key"]), x25519(bob["dh_secret"], ephemeral), x25519(signed, ephemeral)]
    if one_time is not None:
        secrets.append(x25519(one_time, ephemeral))
    if encapsulated is not None:
        secrets.append(encapsulated)
    keys = x25519_public(signed), None if one_time is None else x25519_public(one_time)
    info, associated = transcript(
        origin, message["suite"], sender, bob, ephemeral, message["ids"], keys, kem
    )
    outputs = schedule(secrets, info)
    plaintext = aead_open(outputs[3], outputs[4], opaque16(associated) + message["header"], message["ciphertext"])
    return {
        "handshake": handshake_id(sender, bob, ephemeral, message["ids"]),
        "info": info,
        "associated_data": associated,
        "root_key": outputs[0],
        "initiator_chain": outputs[1],
        "responder_chain": outputs[2],
        "plaintext": plaintext,
    }


def initiate(world, case):
    """Makes the message of a case as Alice, from the public halves of Bob's prekeys."""
    alice, bob = world["initiator"], world["responder"]
    one_time_id = None if case["one_time"] is None else one_time_key_id(case["one_time"])
    kem_id = None if case["kem"] is None else kem_key_id(case["kem"])
    ids = case["signed_prekey"], one_time_id, kem_id
    secret = bytes.fromhex(case["ephemeral_secret"])
    ephemeral, signed = x25519_public(secret), x25519_public(world["signed"][ids[0]])
    one_time = None if one_time_id is None else x25519_public(world["one_time"][one_time_id])
    secrets = [x25519(alice["dh_secret"], signed), x25519(secret, bob["dh_key"]), x25519(secret, signed)]
    if one_time is not None:
        secrets.append(x25519(secret, one_time))
    kem = None
    if kem_id is not None:
        key = kem_keys(world["kem"][kem_id])[1]
        ciphertext, encapsulated = kem_encapsulate(key, bytes.fromhex(case["encapsulation"]))
        kem = key, ciphertext
        secrets.append(encapsulated)
    info, associated = transcript(
        world["origin"], case["suite"], alice, bob, ephemeral, ids, (signed, one_time), kem
    )
    outputs = schedule(secrets, info)
    header = bytes([1 if kem is None else 2]) + struct.pack(">H", case["suite"]) + opaque8(alice["label"])
    header += u32(case["sender_version"]) + alice["identity_key"] + u32(alice["device"]) + alice["signing_key"]
    header += alice["dh_key"] + ephemeral + write_ids(ids) + (b"" if kem is None else kem[1])
    sealed = aead_seal(outputs[3], outputs[4], opaque16(associated) + header, bytes.fromhex(case["plaintext"]))
    return header + opaque16(sealed)


# Bundles


def read_public(reader, kind):
    if kind == 1:
        key = reader.take(32)
        check_dh_key(key)
    else:
        key = reader.take(EK_LEN)
        check_kem_key(key)
    return key


def read_start(reader, kind):
    if reader.number(1) != 1 or reader.number(1) != kind:
        raise Refused("malformed")


def check_signature(device, tag, fields, signature, refusal):
    message = opaque8(tag) + opaque16(device["origin"].encode()) + opaque8(device["label"]) + fields
    if not ed25519_verifies(device["signing_key"], message, signature):
        raise Refused(refusal)


def signed_key(reader, device, kind):
    """A signed or last-resort prekey, from its octets to a function that verifies it: ((expires, floor, id), verify)."""
    before = reader.rest
    read_start(reader, kind)
    number, key_id = reader.number(4), reader.number(4)
    read_public(reader, kind)
    created, expires, floor = reader.number(8), reader.number(8), reader.number(4)
    fields = before[: len(before) - len(reader.rest)]
    signature = reader.take(64)
    if expires <= created:
        raise Refused("malformed")
    tag = b"keyglass signed prekey v1" if kind == 1 else b"keyglass last-resort KEM prekey v1"

    def verify():
        if number != device["device"]:
            raise Refused("wrong_device")
        check_signature(device, tag, fields, signature, "bad_signature")
        if device["now"] >= expires:
            raise Refused("expired")

    return floor, verify


def path_root(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        raise Refused("path")
    position, last, root = index, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for sibling in path:
        if last == 0:
            raise Refused("path")
        if position & 1 or position == last:
            root = hashlib.sha256(b"\1" + sibling + root).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\1" + root + sibling).digest()
        position, last = position >> 1, last >> 1
    if last:
        raise Refused("path")
    return root


def entry(reader, device, kind):
    """A one-time prekey with its path: (batch, verify)."""
    before = reader.rest
    read_start(reader, kind)
    number, batch, size = reader.number(4), reader.number(4), reader.number(2)
    expires, root = reader.number(8), reader.take(32)
    fields = before[: len(before) - len(reader.rest)]
    signature, index = reader.take(64), reader.number(2)
    if not 1 <= size <= (1024 if kind == 1 else 128):
        raise Refused("malformed")
    before = reader.rest
    if reader.number(1) != kind:
        raise Refused("malformed")
    reader.number(4)
    read_public(reader, kind)
    leaf = before[: len(before) - len(reader.rest)]
    count = reader.number(1)
    if count > 10:
        raise Refused("malformed")
    path = [reader.take(32) for _ in range(count)]
    tag = b"keyglass one-time prekey batch v1" if kind == 1 else b"keyglass one-time KEM prekey batch v1"

    def verify():
        if number != device["device"]:
            raise Refused("wrong_device")
        check_signature(device, tag, fields, signature, "bad_batch_signature")
        if device["now"] >= expires:
            raise Refused("batch_expired")
        if path_root(leaf, index, size, path) != root:
            raise Refused("path")

    return batch, verify


def check_bundle(device, octets):
    reader = Reader(octets)
    form = reader.number(1)
    if form not in (1, 2):
        raise Refused("malformed")
    floor, verify_signed = signed_key(reader, device, 1)
    one_time = kem_entry = verify_last = None
    presence = reader.number(1)
    if presence > 1:
        raise Refused("malformed")
    if presence:
        one_time = entry(reader, device, 1)
    if form == 2:
        kind = reader.number(1)
        if kind == 1:
            kem_entry = entry(reader, device, 2)
        elif kind == 2:
            last_floor, verify_last = signed_key(reader, device, 2)
            floor = max(floor, last_floor)
        else:
            raise Refused("malformed")
    reader.end()
    verify_signed()
    if verify_last:
        verify_last()
    for found in (one_time, kem_entry):
        if found:
            found[1]()
            if found[0] < floor:
                raise Refused("below_floor")
    if PQXDH in device["suites"] and form == 1:
        raise Refused("no_kem_prekey")


# The vectors


def octets_of(values):
    """The same, with hex strings turned to octets but for the names that are text."""
    return {
        name: bytes.fromhex(value) if isinstance(value, str) and name != "origin" else value
        for name, value in values.items()
    }


def read_world(vectors):
    secret = lambda text: None if text is None else bytes.fromhex(text)
    memory = vectors["memory"]
    world = {"origin": vectors["origin"]}
    for side in ("initiator", "responder"):
        world[side] = octets_of(vectors[side])
        assert x25519_public(world[side]["dh_secret"]) == world[side]["dh_key"]
    world["signed"] = {key["id"]: secret(key["secret"]) for key in memory["signed_prekeys"]}
    world["one_time"] = {one_time_key_id(key["id"]): secret(key["secret"]) for key in memory["one_time_prekeys"]}
    world["kem"] = {kem_key_id(key["id"]): secret(key["seed"]) for key in memory["kem_prekeys"]}
    return world


def refusal(check, *arguments):
    try:
        check(*arguments)
    except Refused as refused:
        return refused.args[0]
    return None


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    world, wrong, cases = read_world(vectors), [], 0
    for case in vectors["handshakes"]:
        cases += 1
        opened = accept(world, world["origin"], bytes.fromhex(case["message"]))
        wrong += [f"{case['name']}: {key}" for key, value in opened.items() if value.hex() != case[key]]
        if initiate(world, case).hex() != case["message"]:
            wrong.append(f"{case['name']}: the message that the initiator makes")
    for case in vectors["refused_messages"]:
        cases += 1
        found = refusal(accept, world, case["origin"], bytes.fromhex(case["message"]))
        if found != case["refused"]:
            wrong.append(f"{case['name']}: {found}, not {case['refused']}")
    device = octets_of(vectors["bundle_device"])
    device["origin"] = vectors["origin"]
    for case in vectors["bundles"]:
        cases += 1
        found = refusal(check_bundle, device, bytes.fromhex(case["bundle"]))
        if found != case["refused"]:
            wrong.append(f"bundle, {case['name']}: {found}, not {case['refused']}")
    for line in wrong:
        print(line)
    print(f"{cases - len(wrong)} of {cases} cases agree" if wrong else f"{cases} cases agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
