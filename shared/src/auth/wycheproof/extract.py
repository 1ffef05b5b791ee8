#!/usr/bin/env python3
"""Writes vectors.txt from a checkout of https://github.com/C2SP/wycheproof: extract.py CHECKOUT"""

import base64
import json
import pathlib
import subprocess
import sys

COMMIT = "dac1dd4729fd1f8dd9e1e9f3dce51d783da6c166"
HEADER = f"""\
# Test vectors of Project Wycheproof (https://github.com/C2SP/wycheproof), commit {COMMIT[:12]}, Apache License 2.0. Written by extract.py.
#
# file: a file of the source's testvectors_v1, and the number of its vectors that no token can express
# key: a JSON Web Key or a set, for the vectors after it
# vector: its number in the file, v (valid), a (acceptable) or i (invalid), then a token, or a message and a signature in base64url
"""
EC = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48)}


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def from_hex(text):
    return base64url(bytes.fromhex(text))


def elliptic(group):
    crv, size = EC[group["publicKey"]["curve"]]
    x, y = (base64url(int(group["publicKey"][name], 16).to_bytes(size)) for name in ("wx", "wy"))
    return {"kty": "EC", "crv": crv, "x": x, "y": y}


def rsa(group):
    key = group.get("publicKey") or group["privateKey"]
    return {"kty": "RSA", "n": from_hex(key["modulus"]), "e": from_hex(key["publicExponent"])}


def edwards(group):
    return {"kty": "OKP", "crv": "Ed25519", "x": from_hex(group["publicKey"]["pk"])}


def web_key(group):
    # A secret has no public form.
    return group.get("public") or group["private"]


def signature(test, _group):
    return f"{from_hex(test['msg'])} {from_hex(test['sig'])}"


def mac(test, _group):
    return f"{from_hex(test['msg'])} {from_hex(test['tag'])}"


def token(test, _group):
    return test["jws"]


def der_signature(test, group):
    """The two integers of an ECDSA signature, each in the length of the curve. None if they have no such form, or if their DER is
    not strict: another encoding of a valid pair of integers is a valid signature in a token."""
    octets = bytes.fromhex(test["sig"])
    size = EC[group["publicKey"]["curve"]][1]

    def value(tag, octets):
        if len(octets) < 2 or octets[0] != tag or octets[1] > 127 or len(octets) < 2 + octets[1]:
            return None, b""
        return octets[2 : 2 + octets[1]], octets[2 + octets[1] :]

    content, rest = value(0x30, octets)
    if content is None or rest:
        return None
    r, content = value(0x02, content)
    s, rest = value(0x02, content)
    for integer in (r, s):
        if not integer or integer[0] > 127 or len(integer.lstrip(b"\0")) > size:
            return None
        if len(integer) > 1 and integer[0] == 0 and integer[1] < 128:
            return None
    if rest:
        return None
    fixed = b"".join(int.from_bytes(integer).to_bytes(size) for integer in (r, s))
    return f"{from_hex(test['msg'])} {base64url(fixed)}"


FILES = {
    "json_web_signature_test": (web_key, token),
    "json_web_key_test": (web_key, token),
    "ecdsa_secp256r1_sha256_p1363_test": (elliptic, signature),
    "ecdsa_secp256r1_sha256_test": (elliptic, der_signature),
    "ecdsa_secp384r1_sha384_p1363_test": (elliptic, signature),
    "ecdsa_secp384r1_sha384_test": (elliptic, der_signature),
    "ed25519_test": (edwards, signature),
    "rsa_signature_2048_sha256_test": (rsa, signature),
    "rsa_signature_3072_sha256_test": (rsa, signature),
    "rsa_signature_4096_sha256_test": (rsa, signature),
    "rsa_signature_8192_sha256_test": (rsa, signature),
    "rsa_pkcs1_1024_sig_gen_test": (rsa, signature),
    "rsa_pkcs1_1536_sig_gen_test": (rsa, signature),
    "rsa_pkcs1_2048_sig_gen_test": (rsa, signature),
    "rsa_pkcs1_3072_sig_gen_test": (rsa, signature),
    "rsa_pkcs1_4096_sig_gen_test": (rsa, signature),
    "hmac_sha256_test": (None, mac),
}


def extract(name, source):
    key_of, vector_of = FILES[name]
    lines, last, omitted = [], None, 0
    for group in json.loads(source)["testGroups"]:
        # The files of RSA key sizes have the signatures of every hash function.
        if group.get("sha", "SHA-256") not in ("SHA-256", "SHA-384") or (
            group["type"].startswith("Rsassa") and group["sha"] != "SHA-256"
        ):
            continue
        for test in group["tests"]:
            key = key_of(group) if key_of else {"kty": "oct", "k": from_hex(test["key"])}
            vector = vector_of(test, group)
            if vector is None:
                omitted += 1
                continue
            if key != last:
                lines.append(f"key {json.dumps(key, separators=(',', ':'))}")
                last = key
            if "\n" in vector:
                raise ValueError(f"{name}: {test['tcId']} has a line break")
            lines.append(f"{test['tcId']} {test['result'][0]} {vector}")
    return [f"file {name} {omitted}", *lines]


def main(checkout):
    show = ["git", "-C", checkout, "show"]
    lines = []
    for name in FILES:
        path = f"{COMMIT}:testvectors_v1/{name}.json"
        lines += extract(name, subprocess.run([*show, path], check=True, capture_output=True).stdout)
    target = pathlib.Path(__file__).with_name("vectors.txt")
    target.write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
