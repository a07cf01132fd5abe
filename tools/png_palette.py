"""A PNG (ISO 15948) of a page made small: of the colours that it has at most 256, each pixel a byte. For flat drawings and text, of
which a browser makes a picture of three bytes a pixel."""
import struct
import zlib
from collections import Counter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB, RGBA, PALETTE = 2, 6, 3
COLORS_MAX = 256


def chunks(png):
    at = len(SIGNATURE)
    while at < len(png):
        size, = struct.unpack_from("!I", png, at)
        yield png[at + 4:at + 8], png[at + 8:at + 8 + size]
        at += size + 12


def predict(kind, left, up, corner):
    if kind == 3:
        return (left + up) // 2
    if kind != 4:
        return (0, left, up)[kind]
    guess = left + up - corner
    return min(((abs(guess - value), order, value) for order, value in enumerate((left, up, corner))))[2]


def unfilter(kind, line, before, step):
    """In place: from differences to bytes."""
    if kind == 2:
        line[:] = bytes((one + up) & 255 for one, up in zip(line, before))
    elif kind:
        for at, value in enumerate(line):
            left, corner = (line[at - step], before[at - step]) if at >= step else (0, 0)
            line[at] = (value + predict(kind, left, before[at], corner)) & 255
    return line


def read(png):
    """Width, height and rows of pixels, three bytes each; how much shines through is not looked at."""
    assert png.startswith(SIGNATURE)
    parts = list(chunks(png))
    width, height, depth, color, _, _, interlaced = struct.unpack("!IIBBBBB", parts[0][1])
    assert depth == 8 and color in (RGB, RGBA) and not interlaced
    step = 3 if color == RGB else 4
    data = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
    before, rows = bytes(width * step), []
    for y in range(height):
        at = y * (width * step + 1)
        before = unfilter(data[at], bytearray(data[at + 1:at + 1 + width * step]), before, step)
        rows.append([bytes(before[x:x + 3]) for x in range(0, width * step, step)])
    return width, height, rows


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other))


def choose(counts):
    """The colours that are kept, and which of them stands for each: again and again the one that is missed most is kept, too."""
    colors = [counts.most_common(1)[0][0]]
    nearest = {color: (distance(color, colors[0]), 0) for color in counts}
    while len(colors) < COLORS_MAX:
        worst = max(counts, key=lambda color: counts[color] * nearest[color][0])
        if not nearest[worst][0]:
            break
        colors.append(worst)
        for color, (apart, _) in nearest.items():
            closer = distance(color, worst)
            if closer < apart:
                nearest[color] = closer, len(colors) - 1
    return colors, {color: index for color, (_, index) in nearest.items()}


def chunk(name, content):
    return struct.pack("!I", len(content)) + name + content + struct.pack("!I", zlib.crc32(name + content))


def shrink(png):
    width, height, rows = read(png)
    colors, index_of = choose(Counter(pixel for row in rows for pixel in row))
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9)
    data = b"".join(packer.compress(b"\0" + bytes(index_of[pixel] for pixel in row)) for row in rows) + packer.flush()
    head = struct.pack("!IIBBBBB", width, height, 8, PALETTE, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"PLTE", b"".join(colors)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
