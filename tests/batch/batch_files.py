"""Helpers: request files."""

import json


def write_lines(path, lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def requests(count, **more):
    return [
        {"custom_id": f"r{n}", "history": [str(100 + n % 20)], "k": 3, "explain": False, **more} for n in range(count)
    ]
