"""The functions of a SIM against the test sets of 3GPP TS 35.208, and what it says to a challenge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.receiver.milenage import NotOurNetwork, OutOfSync, Sim, Vector

# 3GPP TS 35.208 4.3: K, RAND, SQN, AMF, OP, OPc, f1, f1*, f2, f5, f3, f4, f5*; sets 1 to 5.
SETS = [
    """465b5ce8b199b49faa5f0a2ee238a6bc 23553cbe9637a89d218ae64dae47bf35 ff9bb4d0b607 b9b9
    cdc202d5123e20f62b6d676ac72cb318 cd63cb71954a9f4e48a5994e37a02baf 4a9ffac354dfafb3 01cfaf9ec4e871e9
    a54211d5e3ba50bf aa689c648370 b40ba9a3c58b2a05bbf0d987b21bf8cb f769bcd751044604127672711c6d3441
    451e8beca43b""",
    """0396eb317b6d1c36f19c1c84cd6ffd16 c00d603103dcee52c4478119494202e8 fd8eef40df7d af17
    ff53bade17df5d4e793073ce9d7579fa 53c15671c60a4b731c55b4a441c0bde2 5df5b31807e258b0 a8c016e51ef4a343
    d3a628ed988620f0 c47783995f72 58c433ff7a7082acd424220f2b67c556 21a8c1f929702adb3e738488b9f5c5da
    30f1197061c1""",
    """fec86ba6eb707ed08905757b1bb44b8f 9f7c8d021accf4db213ccff0c7f71a6a 9d0277595ffc 725c
    dbc59adcb6f9a0ef735477b7fadf8374 1006020f0a478bf6b699f15c062e42b3 9cabc3e99baf7281 95814ba2b3044324
    8011c48c0c214ed2 33484dc2136b 5dbdbb2954e8f3cde665b046179a5098 59a92d3b476a0443487055cf88b2307b
    deacdd848cc6""",
    """9e5944aea94b81165c82fbf9f32db751 ce83dbc54ac0274a157c17f80d017bd6 0b604a81eca8 9e09
    223014c5806694c007ca1eeef57f004f a64a507ae1a2a98bb88eb4210135dc87 74a58220cba84c49 ac2cc74a96871837
    f365cd683cd92e96 f0b9c08ad02e e203edb3971574f5a94b0d61b816345d 0c4524adeac041c4dd830d20854fc46b
    6085a86c6f63""",
    """4ab1deb05ca6ceb051fc98e77d026a84 74b0cd6031a1c8339b2b6ce2b8c4a186 e880a1b580b6 9f07
    2d16c5cd1fdf6b22383584e3bef2a8d8 dcf07cbd51855290b92a07a9891e523e 49e785dd12626ef2 9e85790336bb3fa2
    5860fc1bce351e7e 31e11a609118 7657766b373d1c2138f307e3de9242f9 1c42e960d89b8fa99f2744e0708ccb53
    fe2555e54aa9""",
]


@pytest.mark.parametrize("text", SETS)
def test_each_function_gives_what_the_test_set_says(text: str) -> None:
    k, rand, sqn, amf, op, opc, f1, f1s, f2, f5, f3, f4, f5s = map(bytes.fromhex, text.split())
    sim = Sim.of(k, op=op)

    assert sim == Sim.of(k, opc=opc)
    assert sim.vector(rand, sqn, amf) == Vector(f1, f1s, f2, f3, f4, f5, f5s)


def challenge(sim: Sim, sqn: int, rand: bytes = bytes(range(16))) -> bytes:
    """RAND and AUTN of a network that knows the key."""
    number, amf = sqn.to_bytes(6, "big"), b"\x80\x00"
    vector = sim.vector(rand, number, amf)
    hidden = bytes(a ^ b for a, b in zip(number, vector.ak, strict=True))
    return rand + hidden + amf + vector.mac_a


SIM = Sim.of(bytes(16), opc=bytes(range(16)))


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**28))
def test_a_challenge_of_our_network_is_answered_and_its_number_remembered(rand: bytes, sqn: int) -> None:
    res, highest = SIM.answer(challenge(SIM, sqn, rand), 0)

    assert res == SIM.vector(rand, sqn.to_bytes(6, "big"), b"\x80\x00").res
    assert highest == sqn


def test_a_replayed_challenge_asks_for_synchronisation() -> None:
    with pytest.raises(OutOfSync) as caught:
        SIM.answer(challenge(SIM, 5), 5)

    rand = bytes(range(16))
    vector = SIM.vector(rand, (5).to_bytes(6, "big"), bytes(2))
    concealed = bytes(a ^ b for a, b in zip((5).to_bytes(6, "big"), vector.ak_resync, strict=True))
    assert caught.value.auts == concealed + vector.mac_s


def test_a_number_far_ahead_asks_for_synchronisation() -> None:
    with pytest.raises(OutOfSync):
        SIM.answer(challenge(SIM, 2**40), 1)


@pytest.mark.parametrize("length", [0, 16, 31])
def test_a_nonce_that_is_too_short_is_nobodys(length: int) -> None:
    with pytest.raises(NotOurNetwork):
        SIM.answer(bytes(length), 0)


def test_a_network_without_the_key_is_not_answered() -> None:
    other = Sim.of(b"\x01" * 16, opc=bytes(16))
    with pytest.raises(NotOurNetwork):
        SIM.answer(challenge(other, 5), 0)


@pytest.mark.parametrize(
    ("key", "op", "opc"), [(b"", bytes(16), b""), (bytes(16), b"", b""), (bytes(16), b"x", b"")]
)
def test_secrets_of_a_wrong_length_are_refused(key: bytes, op: bytes, opc: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Sim.of(key, op=op, opc=opc)
