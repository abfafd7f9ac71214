"""Who an Authorization header speaks for, and what finding out costs."""

import asyncio
import base64

import pytest
from argon2 import PasswordHasher
from msgspec.structs import replace

from omapush import config
from omapush.pap_http.authentication import REMEMBERED_S, Accounts, credentials
from omapush.pap_http.passwords import PasswordChecks, hashed
from omapush.push.account import Account

STORED = hashed("right")
INITIATORS = {"hashed": {"password_hash": STORED}, "plain": {"password": "lab"}}


class Counted(PasswordChecks):
    """Notes which hashes were checked."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[str] = []

    async def fits(self, stored: str, password: str, source: str = "") -> bool:
        self.checked.append(stored)
        return await super().fits(stored, password, source)


class House:
    """The accounts, and a clock that the test moves."""

    def __init__(self, initiators: dict[str, dict[str, str]] | None = None) -> None:
        self.now = 1_000.0
        self.checks = Counted()
        parsed = config.parse({"initiator": initiators or INITIATORS}, "omapush.toml")
        self.accounts = Accounts(parsed, self.checks, lambda: self.now)

    def asks(self, *shown: str) -> list[str | None]:
        """Whom each `name:password` that comes at the same time is taken for."""

        async def run() -> list[Account | None]:
            return await asyncio.gather(
                *(self.accounts.authenticate(credentials(basic(one))) for one in shown)
            )

        return [account.name if account else None for account in asyncio.run(run())]


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.fixture
def house() -> House:
    return House()


def test_a_password_is_known_by_its_hash_alone(house: House) -> None:
    assert house.asks("hashed:right") == ["hashed"]
    assert house.asks("hashed:wrong", "hashed:", f"hashed:{STORED}") == [None] * 3
    assert house.asks("plain:lab", "plain:right", "hashed:lab") == ["plain", None, None]


def test_a_right_password_is_checked_once_and_then_remembered_for_a_while(house: House) -> None:
    house.asks("hashed:right")
    house.asks("hashed:right")
    assert house.checks.checked == [STORED]

    house.now += REMEMBERED_S
    assert house.asks("hashed:right") == ["hashed"]
    assert house.checks.checked == [STORED] * 2


def test_a_wrong_password_is_never_remembered_and_drives_no_right_one_out(house: House) -> None:
    house.asks("hashed:right")
    assert house.asks("hashed:wrong") == [None]
    assert house.asks("hashed:wrong") == [None]
    assert house.asks("hashed:right") == ["hashed"]
    assert house.checks.checked == [STORED] * 3


def test_many_requests_at_one_time_with_the_same_password_are_one_check(house: House) -> None:
    assert house.asks(*["hashed:right"] * 200) == ["hashed"] * 200
    assert house.checks.checked == [STORED]


def test_whatever_is_refused_costs_one_check_of_the_same_kind(house: House) -> None:
    """So that how long a refusal takes does not tell which names there are."""
    house.asks("hashed:wrong")
    house.asks("plain:wrong")
    house.asks("nobody:wrong")

    assert len(house.checks.checked) == 3
    assert {stored.rsplit("$", 2)[0] for stored in house.checks.checked} == {STORED.rsplit("$", 2)[0]}


def test_an_unknown_name_costs_the_same_each_time_where_hashes_differ() -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("x")
    house = House({"dear": {"password_hash": STORED}, "cheap": {"password_hash": cheap}})
    for name in ("nobody", "somebody", "anybody", "everybody"):
        house.checks.checked.clear()
        house.asks(f"{name}:a")
        house.asks(f"{name}:b")
        assert len(set(house.checks.checked)) == 1


def test_without_any_hash_nothing_is_slow(house: House) -> None:
    lab = House({"plain": {"password": "lab"}})
    assert lab.asks("plain:lab", "plain:x", "nobody:x") == ["plain", None, None]
    assert lab.checks.checked == []


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !", "Basic \xff", "Bearer x", "Basic " + "A" * 600]
)
def test_what_is_no_basic_header_speaks_for_nobody(house: House, header: str | None) -> None:
    assert asyncio.run(house.accounts.authenticate(credentials(header))) is None


def test_what_the_process_keeps_does_not_hold_a_password(house: House) -> None:
    house.asks("hashed:right", "plain:lab")
    kept = repr(vars(house.accounts))
    assert "right" not in kept
    assert "'lab'" not in kept


def test_tokens_and_certificates_of_an_account_with_addresses_are_good_there_alone() -> None:
    home = config.Initiator(
        subject="client-7", certificate_names=("pi.example",), addresses=("192.0.2.0/24",)
    )
    known = {"home": home, "other": config.Initiator(subject="client-8")}
    accounts = Accounts(replace(config.parse({}, "omapush.toml"), initiator=known), Counted())

    def named(account: Account | None) -> str:
        return account.name if account else ""

    for address, who in (("192.0.2.7", "home"), ("198.51.100.7", "")):
        assert named(accounts.of_subject("client-7", address)) == who
        assert named(accounts.of_certificate(["pi.example"], address)) == who
    assert named(accounts.of_subject("client-8", "198.51.100.7")) == "other"
    assert named(accounts.of_subject("", "192.0.2.7")) == ""
