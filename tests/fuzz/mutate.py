"""Mutations without a guide, for `make test`: the same each time, and in need of nothing but Python."""

import random
from collections.abc import Iterator

from .targets import Target

_NUMBERS = (b"0", b"-1", b"1", b"2147483648", b"-2147483649", b"18446744073709551616", b"1e308", b"1e-320", b"nan",
            b"inf")


def mutations(target: Target, count: int, seed: int = 0) -> Iterator[bytes]:
    """The seeds, and what comes of them by a few changes each."""
    draw = random.Random(f"{target.name} {seed}")
    yield from target.seeds
    for _ in range(count):
        data = bytearray(draw.choice(target.seeds))
        for _ in range(draw.choice((1, 1, 2, 3, 8))):
            _change(data, draw, target)
        yield bytes(data[: target.longest])


def _change(data: bytearray, draw: random.Random, target: Target) -> None:
    at = draw.randrange(len(data) + 1)
    length = draw.choice((1, 1, 2, 4, 16, 64))
    kind = draw.randrange(7)
    if kind == 0:
        data[at : at + 1] = bytes([draw.randrange(256)])
    elif kind == 1:
        del data[at : at + length]
    elif kind == 2:
        data[at:at] = data[at : at + length] * draw.choice((1, 2, 5))
    elif kind == 3:
        data[at:at] = draw.choice((*target.words, *_NUMBERS))
    elif kind == 4:
        other = draw.choice(target.seeds)
        first = draw.randrange(len(other) + 1)
        data[at : at + length] = other[first : first + length]
    elif kind == 5:
        data[at : at + length] = draw.randbytes(length)
    else:
        _change_number(data, draw)


def _change_number(data: bytearray, draw: random.Random) -> None:
    """Another number in the place of one that is written in digits."""
    digits = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if digits:
        first = last = draw.choice(digits)
        while last < len(data) and 48 <= data[last] < 58:
            last += 1
        data[first:last] = draw.choice(_NUMBERS)
