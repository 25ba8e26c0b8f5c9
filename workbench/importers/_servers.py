"""Addresses of database servers: what the environment fills in, and what of them may be shown.

A password is in no configuration, and leaves this module only for the driver.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

from workbench.errors import ConfigError

SCHEMES = ("postgresql://", "postgres://")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_OPTIONS = ("password", "sslpassword")
_SECONDS = "10"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A database on a server.

    Attributes
    ----------
    address
        What the driver connects to.
    name
        What it is called in records and messages: neither user nor password nor options.
    secrets
        What may be shown nowhere.
    """

    address: str = field(repr=False)
    name: str
    secrets: tuple[str, ...] = field(repr=False)

    def without_secrets(self, text: str) -> str:
        """A text of which the secrets are blotted out."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def is_server(source: str) -> bool:
    """Whether a source is the address of a database server, be it all in the environment."""
    return source.startswith(SCHEMES) or _VARIABLE.fullmatch(source) is not None


def server(source: str) -> Server:
    """The server that a source names, with what the environment says.

    Parameters
    ----------
    source
        ``postgresql://USER:${VARIABLE}@HOST/DATABASE``, or ``${VARIABLE}`` that holds such a one.

    Raises
    ------
    ConfigError
        If a variable is not set, if a password stands in the source itself, or if it is no
        address.
    """
    whole = _VARIABLE.fullmatch(source)
    address = _variable(whole[1]) if whole else source
    scheme, _, after = address.partition("://")
    if not address.startswith(SCHEMES):
        raise ConfigError(
            f"{source} does not hold the address of a database.",
            "It begins with postgresql://, as in postgresql://USER@HOST/DATABASE.",
        )
    authority, slash, path = after.partition("/")
    if not slash:
        authority, _, options = authority.partition("?")
        database = ""
    else:
        database, _, options = path.partition("?")
    login, at, host = authority.rpartition("@")
    user, colon, password = login.partition(":")
    pairs = parse_qsl(options, keep_blank_values=True)
    given = [password, *(value for key, value in pairs if key in _SECRET_OPTIONS)]
    if not whole:
        if any(value and not _VARIABLE.search(value) for value in given):
            raise ConfigError(
                "A password stands in source.",
                "Take it out, and set PGPASSWORD or write ${VARIABLE} in its place: the "
                "environment is not written anywhere.",
            )
        host, database = _filled(host), _filled(database)
        # What the environment holds is the password itself, with no character encoded.
        user, password = _filled(user, encoded=True), _filled(password, encoded=True)
        pairs = [(key, _filled(value)) for key, value in pairs]
    if any(not re.fullmatch(r"\d*", _port(one)) for one in host.split(",")):
        raise ConfigError(
            f"The port in the address of {source if whole else 'the database'} is no number.",
            "Special characters of a password are percent-encoded: / is %2F, @ is %40.",
        )
    secrets = {unquote(password), password}
    secrets |= {value for key, value in pairs if key in _SECRET_OPTIONS}
    known = dict(pairs)
    shown = host or known.get("host", "") + (f":{known['port']}" if "port" in known else "")
    if "connect_timeout" not in known and "PGCONNECT_TIMEOUT" not in os.environ:
        pairs.append(("connect_timeout", _SECONDS))
    login = quote(unquote(user), safe="") + colon + quote(unquote(password), safe="") + at
    return Server(
        address=f"{scheme}://{login}{host}/{database}?{urlencode(pairs, quote_via=quote)}",
        name=f"postgresql://{shown}/{known.get('dbname', database)}",
        secrets=tuple(sorted((s for s in secrets if s), key=len, reverse=True)),
    )


def _port(host: str) -> str:
    """What stands behind the colon of a host; one in brackets has colons of its own."""
    return host.rpartition("]")[2].partition(":")[2]


def _filled(text: str, *, encoded: bool = False) -> str:
    def value(match: re.Match[str]) -> str:
        found = _variable(match[1])
        return quote(found, safe="") if encoded else found

    return _VARIABLE.sub(value, text)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(
            f"The source names ${{{name}}}, and the environment has no {name}.",
            f"Set it: export {name}=...",
        )
    return value
