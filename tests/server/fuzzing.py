"""Seeded bodies for every route: well-formed ones, ones that are nearly so, and small ones that ask for much."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib

import numpy as np
import soundfile
from PIL import Image

from tests.server.http_server import CHAT, FEEDBACK, RANK

ITEMS = [str(100 + n) for n in range(20)]
ODD = [
    None, True, 0, -1, 1, 1.5, 10**30, -(10**4000), 1e39, -1e308, 1e-320, "", " ", "103", "１０３", "nan", "\u202e",
    "😀" * 50, "<|im_end|>", "x" * 5000, "a" * 30_000, [], [[]], [None], ["103"] * 300, {}, {"a": {"b": {}}}, {"103": 1e39},
    [{}],
]  # fmt: skip
TYPES = ["application/json"] * 20 + ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]


def bodies(seed, count):
    """Yield (method, path, body bytes, content type)."""
    made = random.Random(seed)
    makers = [rank, rank, rank, chat, chat, chat, feedback, raw, nested, media, elsewhere]
    for _ in range(count):
        method, path, body = made.choice(makers)(made)
        yield method, path, body, made.choice(TYPES)


def dumped(made, body):
    """Return a body as JSON, sometimes cut off or with a byte changed."""
    data = json.dumps(body).encode()
    if made.random() < 0.1:
        return data[: made.randrange(len(data))]
    if made.random() < 0.05:
        place = made.randrange(len(data))
        return data[:place] + bytes([made.randrange(256)]) + data[place + 1 :]
    return data


def changed(made, body):
    """Return an object with some fields replaced, dropped or added."""
    for _ in range(made.choice((0, 1, 1, 2, 4))):
        name = made.choice([*body, "k", "x", "stream", "explain", "__proto__"])
        if made.random() < 0.2:
            body.pop(name, None)
        else:
            body[name] = made.choice(ODD)
    return body


def rank(made):
    history = made.choices([*ITEMS, 103, "nobody"], k=made.randrange(8))
    width = made.choice((6, 5, 4, 0, 7, 300))
    vector = [made.choice((0.1, 1e5, 1e7, 1e38, 1e39, -1e308)) for _ in range(width)]
    body = {"history": history, "k": made.choice((1, 3, 10, 20, 1000))}
    extra = {
        "explain": made.random() < 0.2,
        "stream": made.random() < 0.3,
        "exclude": made.choices(ITEMS, k=3),
        "only": made.choices(ITEMS, k=made.randrange(1, 6)),
        "filters": {made.choice(("genres", "year", "nothing")): made.choice(("comedy", ["drama"], 1990, {}, None))},
        "boosts": {made.choice(ITEMS): made.choice((1, -1000, 1e9, "1", 1e39))},
        "vectors": {made.choice(history or ITEMS): {made.choice(("image", "audio", "text", "smell")): vector}},
        "query": made.choice(("a red film", "", "x" * 501, "\ud800", "\x00", "((((" * 100)),
        "trace": made.random() < 0.2,
        "user": made.choice(("ann", "", "x" * 300, 7)),
        "model": made.choice(("tiny", "tiny:", "other", "../..")),
    }
    body |= {name: extra[name] for name in made.sample(sorted(extra), made.randrange(4))}
    return "POST", RANK, dumped(made, changed(made, body))


def chat(made):
    said = [
        "a comedy", "something like the red night", "why the first one?", "why not the blue day?", "no drama, from the 90s",
        "what if I had not seen the red story?", "(" * 500, "not " * 900, "1. The red story\n" * 200, '"' * 999, "\u0000",
    ]  # fmt: skip
    roles = ["user", "assistant", "system", "developer", "tool", "root"]
    messages = [{"role": "user", "content": made.choice(said)}]
    for _ in range(made.randrange(4)):
        messages.insert(0, {"role": made.choice(roles), "content": made.choice([*said, *ODD])})
    body = {"messages": messages, "k": made.choice((1, 5, 50, 51)), "explain": made.random() < 0.2}
    body |= {"stream": made.random() < 0.3, "one_pass": made.random() < 0.2}
    return "POST", CHAT, dumped(made, changed(made, body))


def feedback(made):
    body = {
        "item_id": made.choice([*ITEMS, "nobody"]),
        "opinion": made.choice(("helpful", "wrong", "not for me", "meh")),
    }
    body |= {"user": made.choice(("ann", None, 5)), "facts": [["genres", made.choice(("comedy", "opera"))]]}
    return "POST", FEEDBACK, dumped(made, changed(made, body))


def raw(made):
    path = made.choice((RANK, CHAT, FEEDBACK))
    return (
        "POST",
        path,
        made.choice((b"", b"null", b"\xff\xfe", b"[]", made.randbytes(200), b"{" * 5000, b'"' + b"x" * 99)),
    )


def nested(made):
    depth, (opened, closed) = made.choice((10, 200, 950, 1200)), made.choice((("[", "]"), ('{"a":', "}")))
    value = opened * depth + "1" + closed * depth
    field = made.choice(("history", "filters", "vectors", "messages", "x"))
    return "POST", made.choice((RANK, CHAT)), f'{{"{field}": {value}}}'.encode()


def elsewhere(made):
    path = made.choice(
        ("/healthz", "/readyz", "/metrics", "/v1/models", "/v1/models/x%00y", "/docs", "/%2e%2e/etc", RANK)
    )
    return made.choice(("GET", "PUT", "DELETE", "HEAD", "PATCH")), path, b""


def media(made):
    """A chat with a picture or a sound, most of which ask for more than they are."""
    content, kind = made.choice([(picture, "image_url"), (sound, "input_audio")])
    encoded = base64.b64encode(content(made)).decode()
    part = {"image_url": {"url": f"data:image/png;base64,{encoded}"}, "input_audio": {"data": encoded, "format": "wav"}}
    message = {"role": "user", "content": [{"type": kind, kind: part[kind]}]}
    return "POST", CHAT, dumped(made, {"messages": [message] * made.choice((1, 1, 20)), "explain": False})


def png(width, height, rows=1):
    """Return a PNG that claims a size, with the data of some rows only."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + (width + 7) // 8) * rows, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def wav(rate=16_000, channels=1, claimed=None, seconds=0.02):
    """Return a short WAV whose header says what it likes."""
    samples = bytes(int(16_000 * seconds) * 2 * channels)
    layout = struct.pack("<HHIIHH", 1, channels, rate % 2**32, rate * 2 * channels % 2**32, 2 * channels % 2**16, 16)
    size = len(samples) if claimed is None else claimed
    return (
        b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16) + layout
        + b"data" + struct.pack("<I", size) + samples
    )  # fmt: skip


def picture(made):
    width, height = made.choice(((1, 65_000), (65_000, 1), (200_000, 100_000), (3, 3), (10_000, 100), (0, 5)))
    if made.random() < 0.5:
        return png(width, height, made.choice((1, height if width * height < 10**6 else 1)))
    small = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(small, made.choice(("PNG", "JPEG", "GIF", "EPS", "ICO", "TGA")))
    return small.getvalue()[: made.choice((20, 10_000))]


def sound(made):
    if made.random() < 0.7:
        rate = made.choice((0, 1, 7, 16_000, 4_000_037, 2_147_483_647, 4_294_967_295))
        return wav(
            rate, made.choice((1, 2, 0, 40, 65_535)) if made.random() < 0.3 else 1, made.choice((None, 2**32 - 1))
        )
    held = io.BytesIO()
    soundfile.write(held, np.zeros(8000), 8000, format=made.choice(("FLAC", "OGG", "AIFF")))
    return held.getvalue()[: made.choice((30, 10_000))]
