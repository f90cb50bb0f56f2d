"""ICC profiles of version 2, as short as they can be."""

import struct

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
WHITE = (0.9642, 1.0, 0.8249)


def rgb_profile(primaries: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """Return the profile of a screen with these primaries, which are XYZ for the white of D50."""
    colours = {name: xyz(colour) for name, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    curves = {name: curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"mntr", b"RGB ", b"XYZ ", {b"wtpt": xyz(WHITE)} | colours | curves)


def grey_profile(gamma: float) -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": xyz(WHITE), b"kTRC": curve(gamma)})


def cmyk_profile(white: tuple[int, int, int], ink: tuple[int, int, int]) -> bytes:
    """Return the profile of a printer with these colours: without ink, and with any. They are Lab, 8 bits.

    All inks together are black, because programs may stretch the darkest colour to black.
    """
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (number % 4 == 0) for number in range(9)))
    table = bytes(white) + 14 * bytes(ink) + bytes([0, 128, 128])
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + table + 3 * ramp
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": xyz(WHITE), b"A2B0": lut})


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))


def profile(kind: bytes, colours: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset, table, content = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, offset + len(content), len(value))
        content += value
    size = 128 + len(table) + len(content)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"none", 0x02100000, kind, colours, connection, bytes(12), b"acsp"
    )
    header += bytes(68 - len(header)) + xyz(WHITE)[8:]
    return header.ljust(128, b"\0") + table + content
