"""A table from characters to strings in the format that the FastBertNormalize op reads.

The op cuts text into UTF-8 characters (and single invalid bytes) and replaces each by the table's entry. Format: the
flatbuffer fast_bert_normalizer_model.fbs of tensorflow_text around a darts-clone double array
(https://github.com/s-yata/darts-clone), filled here for keys of which none is another's prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from flowformers.types import Array

CODE_POINTS = 0x110000
SCALARS = (*range(0xD800), *range(0xE000, CODE_POINTS))
NONE = -1
BLOCK = np.arange(64)  # a continuation byte of UTF-8 is 0x80 | one of these
ROOT = 256  # the root's children stand at 256 + byte
HAS_LEAF, LEAF = 1 << 8, 1 << 31
DATA = 0x40000000  # marks a value as offset << 6 | length into the pool
LONGEST = 63  # bytes of one entry
REACH = 1 << 21  # units that a short offset can cross


def blocks(codes: Sequence[int] = SCALARS) -> Iterator[Sequence[int]]:
    """By the thousand: the `tokenizers` library takes more than twice as long for one text of all."""
    yield from (codes[start : start + 1024] for start in range(0, len(codes), 1024))


def build(characters: Mapping[int, str], invalid: Mapping[int, str]) -> bytes:
    """The table. characters: code point -> text; invalid: a byte that never occurs in UTF-8 -> text.

    Characters without an entry stay as they are.
    """
    pool, places = bytearray(), dict[str, int]()
    for text in {**dict.fromkeys(characters.values()), **dict.fromkeys(invalid.values()), "\0": None}:
        raw = text.encode()
        if len(raw) > LONGEST:
            raise ValueError(f"a table entry holds at most {LONGEST} bytes; got {len(raw)}")
        places[text] = DATA | len(pool) << 6 | len(raw)
        pool.extend(raw)
    values = np.full(CODE_POINTS, NONE, np.int64)
    values[np.fromiter(characters, np.int64, len(characters))] = [places[text] for text in characters.values()]
    nul = values[0] if values[0] != NONE else places["\0"]
    trie = _DoubleArray(values, {byte: places[text] for byte, text in invalid.items()})
    return _flatbuffer(trie.units(), int(nul), bytes(pool))


def trie(values: Array) -> Array:
    """uint32. values: int64 [CODE_POINTS], of every character, or NONE."""
    return _DoubleArray(values, {}).units()


class _DoubleArray:
    """Positions: root, root's children, one leaf for each distinct value, then blocks of 64 children.

    A node whose children have base B finds the child of a byte at B xor byte, and its leaf at B.
    """

    def __init__(self, values: Array, invalid: Mapping[int, int]) -> None:
        self._values, self._invalid = values, invalid
        self._distinct = np.unique(np.concatenate([values[values != NONE], np.array([*invalid.values()], np.int64)]))
        self._units = np.zeros(REACH, np.uint32)
        leaves = 2 * ROOT
        self._units[leaves : leaves + len(self._distinct)] = self._distinct | LEAF
        self._next = -(-(leaves + len(self._distinct)) // 256) * 4  # blocks are counted in 64s

    def units(self) -> Array:
        """uint32."""
        terminal = np.where(self._values == NONE, NONE, 2 * ROOT + np.searchsorted(self._distinct, self._values))
        last = self._blocks(terminal.reshape(-1, 64), HAS_LEAF)  # by code point >> 6
        rows = last.reshape(-1, 64)
        middle = self._blocks(np.where((np.arange(len(rows)) > 0)[:, None] | (BLOCK >= 32), rows, NONE), 0)
        supplementary = np.pad(middle, (0, -len(middle) % 64), constant_values=NONE)
        supplementary[:16] = NONE
        first = self._blocks(supplementary.reshape(-1, 64), 0)
        self._root({byte: int(terminal[byte]) for byte in range(1, 0x80)}, HAS_LEAF)
        self._root({byte: self._leaf(value) for byte, value in self._invalid.items()}, HAS_LEAF)
        self._root({0xC0 | row: int(last[row]) for row in range(2, 32)}, 0)
        self._root({0xE0 | row: int(middle[row]) for row in range(16)}, 0)
        self._root({0xF0 | row: int(first[row]) for row in range(len(first))}, 0)
        self._units[0] = ROOT << 10
        return self._units[: self._next * 64]

    def _leaf(self, value: int) -> int:
        return 2 * ROOT + int(np.searchsorted(self._distinct, value))

    def _root(self, targets: Mapping[int, int], flag: int) -> None:
        for byte, target in targets.items():
            if target != NONE:
                self._units[ROOT + byte] = byte | flag | (ROOT + byte ^ target) << 10

    def _blocks(self, targets: Array, flag: int) -> Array:
        """targets: int64 [rows, 64], what each continuation byte leads to. Returns the base of every row, or NONE."""
        numbers: dict[bytes, int] = {}
        which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in targets])
        distinct = np.frombuffer(b"".join(numbers), targets.dtype).reshape(-1, 64)
        used = np.any(distinct != NONE, axis=1)
        bases = np.full(len(distinct), NONE)
        bases[used] = (self._next + np.arange(used.sum())) * 64
        self._next += -(-int(used.sum()) // 4) * 4  # whole 256s: a base and its children differ in bit 7
        if self._next * 64 > REACH:
            raise ValueError("the table needs more units than short offsets can cross")
        positions = bases[used][:, None] ^ (0x80 | BLOCK)
        units = (0x80 | BLOCK) | flag | (positions ^ distinct[used]) << 10
        self._units[positions] = np.where(distinct[used] == NONE, 0, units)
        found: Array = bases[which]
        return found


def _flatbuffer(units: Array, nul: int, pool: bytes) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(units.nbytes + len(pool) + 64)
    strings = builder.CreateNumpyVector(np.frombuffer(pool, np.uint8))
    trie = builder.CreateNumpyVector(units)
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, trie, 0)
    builder.PrependInt32Slot(2, nul, 0)
    builder.PrependUOffsetTRelativeSlot(3, strings, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
