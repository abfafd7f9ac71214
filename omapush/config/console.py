"""The tables of the configuration file about the console and who may use it, see sections.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from omapush.config.forms import NAME, is_password_hash
from omapush.config.secret_files import first_line
from omapush.config.sections import Section
from omapush.errors import BadConfiguration, shortened

if TYPE_CHECKING:
    from omapush.config import Config

Role = Literal["view", "operate"]


class Console(Section, frozen=True):
    """The web console at `/console` of the api. It exists only if an `[operator.NAME]` is configured."""

    session_s: Annotated[int, Meta(ge=60, le=604_800)] = 28_800
    """How long a log-in lasts."""
    secure_cookies: bool = False
    """
    Let browsers send the cookie over HTTPS only, even though the api itself speaks HTTP. Set this behind
    a proxy that speaks TLS. If the api speaks TLS, this is always so.
    """


class Operator(Section, frozen=True):
    """One user of the console: `[operator.NAME]`, where NAME is what is entered at the log-in."""

    password_hash: str = ""
    """Hash of the password, made by `omapush initiator hash`."""
    password: str = ""
    """
    The password itself, instead of its hash. Use this only in a laboratory: whoever can read the file can
    log in.
    """
    password_file: str = ""
    """File whose first line is the password, instead of its hash."""
    role: Role = "view"
    """
    `view` may see everything; `operate` may also pause, resume and cancel pushes, drain nodes and send
    test pushes.
    """

    def secret(self, where: str = "operator") -> str:
        """
        Return the password, from the first line of its file if one is named; empty when only a hash is.

        Raises:
            BadConfiguration: the file cannot be read or is empty; `where` is the key that the text names.
        """
        if not self.password_file:
            return self.password
        return first_line(self.password_file, f"{where}.password_file")

    def __repr__(self) -> str:
        return f"Operator(role={self.role}, password=***)"


def check_operators(config: Config) -> None:
    """Check what is said about the users of the console."""
    for name, operator in config.operator.items():
        where = f"{config.path}: operator.{shortened(name)}"
        if NAME.fullmatch(name) is None:
            raise BadConfiguration(where, "a name has 1 to 64 letters, digits, '.', '_' or '-'")
        if sum(map(bool, (operator.password_hash, operator.password, operator.password_file))) != 1:
            raise BadConfiguration(where, "needs either password_hash, or password, or password_file")
        if operator.password_hash and not is_password_hash(operator.password_hash):
            raise BadConfiguration(
                f"{where}.password_hash",
                "is no Argon2id hash of this server's form; `omapush initiator hash` makes one",
            )
        operator.secret(where)
