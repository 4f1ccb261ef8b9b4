"""`Content-Digest` (RFC 9530): what the client says that its body hashes to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from starlette.datastructures import Headers

from service.errors import Fault, Invalid, WrongDigest

_MEMBER = re.compile(r"\s*([a-z0-9*_.-]+)=:([A-Za-z0-9+/=]*):\s*")
_KNOWN = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


class Announced:
    """Hashes a body beside the digests that its header announced, if any.

    Raises:
        Invalid: The header cannot be read.
    """

    def __init__(self, headers: Headers) -> None:
        self._wanted: dict[str, bytes] = {}
        given = ",".join(headers.getlist("content-digest"))
        for member in given.split(",") if given else ():
            self._add(member)
        self._hashes = {name: _KNOWN[name]() for name in self._wanted}

    def update(self, data: bytes) -> None:
        for running in self._hashes.values():
            running.update(data)

    def check(self) -> None:
        """Raise WrongDigest unless every announced digest is the body's."""
        for name, wanted in self._wanted.items():
            if not hmac.compare_digest(self._hashes[name].digest(), wanted):
                raise WrongDigest(
                    f"the body's {name} is not the one in Content-Digest; it changed on its way"
                )

    def _add(self, member: str) -> None:
        match = _MEMBER.fullmatch(member)
        if match is None:
            words = "is not written as sha-256=:<base64>:"
            raise Invalid(f"Content-Digest {words}", [Fault("header:content-digest", words)])
        name, encoded = match.groups()
        if name in _KNOWN:  # RFC 9530 lets us ignore the others
            try:
                self._wanted[name] = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                self._wanted[name] = b""
