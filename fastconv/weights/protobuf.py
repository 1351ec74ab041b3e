"""Protocol buffers on the wire: fields of a message, as numbers and bytes. What a .caffemodel is read with.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import FileFormatError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Message:
    """Fields of the message in content[begin:end]."""

    def __init__(self, content: memoryview, begin: int = 0, end: int | None = None) -> None:
        self.content, self.begin = content, begin
        self.end = len(content) if end is None else end

    def fields(self) -> Iterator[tuple[int, int, Message | int]]:
        """(number, wire type, value) of each field: an int for a varint, else the bytes as a message."""
        at = self.begin
        while at < self.end:
            start = at
            key, at = self._varint(at)
            number, wire = key >> 3, key & 7
            if number == 0 or wire not in (VARINT, FIXED64, BYTES, FIXED32):
                raise FileFormatError(f"protobuf: byte {start:,}: field {number} of wire type {wire} is not possible")
            if wire == VARINT:
                value, at = self._varint(at)
                yield number, wire, value
                continue
            length, at = self._varint(at) if wire == BYTES else ({FIXED64: 8, FIXED32: 4}[wire], at)
            if at + length > self.end:
                raise FileFormatError(
                    f"protobuf: byte {start:,}: field {number} has {length:,} bytes, {self.end - at:,} are left"
                )
            yield number, wire, Message(self.content, at, at + length)
            at += length

    def messages(self, number: int) -> Iterator[Message]:
        """The fields of this number that are messages or strings."""
        for found, wire, value in self.fields():
            if found == number and isinstance(value, Message):
                if wire != BYTES:
                    raise FileFormatError(f"protobuf: byte {value.begin:,}: field {number} is not a message")
                yield value

    def text(self, number: int) -> str:
        """A string field, the last one of this number; empty where there is none."""
        result = ""
        for field in self.messages(number):
            try:
                result = bytes(field.content[field.begin : field.end]).decode()
            except UnicodeDecodeError:
                raise FileFormatError(f"protobuf: byte {field.begin:,}: field {number} is not UTF-8") from None
        return result

    def integers(self, number: int) -> list[int]:
        """An integer field, single, repeated or packed."""
        values: list[int] = []
        for found, _, value in self.fields():
            if found != number:
                continue
            if isinstance(value, int):
                values.append(value)
                continue
            at = value.begin
            while at < value.end:
                item, at = value._varint(at)
                values.append(item)
        return values

    def floats(self, number: int, dtype: str) -> NDArray[np.floating]:
        """A repeated field of "<f4" or "<f8", packed or not."""
        kind = np.dtype(dtype)
        parts = [np.zeros(0, kind)]
        for found, _, value in self.fields():
            if found != number:
                continue
            if isinstance(value, int) or (value.end - value.begin) % kind.itemsize:
                raise FileFormatError(f"protobuf: field {number} does not hold whole values of {kind.itemsize} bytes")
            parts.append(np.frombuffer(value.content[value.begin : value.end], kind))
        whole: NDArray[np.floating] = np.concatenate(parts)
        return whole

    def _varint(self, at: int) -> tuple[int, int]:
        """A base-128 integer of at most 64 bits, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= self.end:
                break
            byte = self.content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise FileFormatError(f"protobuf: byte {at:,}: an integer does not end")
