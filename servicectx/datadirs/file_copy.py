"""Copy the content of one file to another and compute its checksum on the way."""

import os
import zlib

from servicectx.system import platform

CHUNK = 1 << 16  # bytes: a chunk stays in the processor's cache between read and write
NOTHING = bytes(CHUNK)


def copy_contents(reading: int, writing: int, size: int, checksum: int) -> int:
    """Copy `size` bytes from one descriptor to a new file. Return the checksum, continued from `checksum`.

    The kernel copies files above a chunk, so that on btrfs, xfs and others both files share blocks until a write.
    Chunks of zeros become holes: a write-ahead log is full of them.
    """
    if size <= CHUNK:
        chunk = os.read(reading, size)
        write(writing, chunk)
        return zlib.crc32(chunk, checksum)
    shared = _share(reading, writing, size)
    buffer = bytearray(CHUNK)
    left, hole = size, False
    while left and (count := os.readv(reading, [memoryview(buffer)[:left]])):
        left -= count
        if count == CHUNK and buffer == NOTHING:
            checksum = zlib.crc32(b"\0", checksum)  # one zero stands for the chunk
            os.lseek(writing, count, os.SEEK_CUR)
            hole = True
            continue
        part = memoryview(buffer)[:count]
        checksum = zlib.crc32(part, checksum)
        if not shared:
            write(writing, part)
    if hole and not shared:
        os.ftruncate(writing, size)
    return checksum


def write(writing: int, chunk: bytes | memoryview) -> None:
    while chunk:
        chunk = chunk[os.write(writing, chunk) :]


def _share(reading: int, writing: int, size: int) -> bool:
    """Whether the kernel has copied the file. Afterwards both descriptors are at their beginning."""
    left = size
    try:
        while left and (copied := copy_range(reading, writing, left)):
            left -= copied
    except (OSError, AttributeError):  # another file system, an old kernel, another system
        pass
    os.lseek(reading, 0, os.SEEK_SET)
    os.lseek(writing, 0, os.SEEK_SET)
    return not left


def copy_range(reading: int, writing: int, count: int) -> int:
    return platform.copy_range(reading, writing, count)
