"""Kinds of things that a picture can show, as groups of ImageNet's 1,000 classes.

A tower that learned these classes tells many breeds apart; which one it is, is often a guess where "a dog" is not. The
probability of a kind is the sum of those of its classes. Left out on purpose, and so never said, are classes that say only
what a picture is printed on or what most posters and covers look like (comic book, dust jacket, website, envelope, menu,
packet, curtain, screen), underwear and swimwear, and what a tower saw in posters where it was not (hunting bow, spider, most
musical instruments in dark portraits).
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

CLASSES = 1000
#: kind -> its classes: numbers and ranges, as ImageNet orders them
KINDS = {
    "fish": "0-1 389-397",
    "shark": "2-4",
    "bird": "7-24 80-100 127-146",
    "frog": "30-32",
    "turtle": "33-37",
    "lizard": "38-48",
    "crocodile": "49-50",
    "dinosaur": "51",
    "snake": "52-68",
    "jellyfish": "107",
    "crab": "118-121",
    "whale": "147-148",
    "dog": "151-268",
    "wolf": "269-272",
    "fox": "277-280",
    "cat": "281-285",
    "big cat": "286-293",
    "bear": "294-297",
    "beetle": "300-307",
    "butterfly": "321-326",
    "rabbit": "330-332",
    "horse": "339",
    "zebra": "340",
    "pig": "341-342",
    "sheep": "348-349",
    "camel": "354",
    "monkey": "365-384",
    "elephant": "101 385-386",
    "panda": "388",
    "aircraft": "404 895",
    "airship": "405",
    "balloon": "417",
    "space shuttle": "812",
    "parachute": "701",
    "car": "436 468 511 609 627 656 661 734 751 817",
    "truck": "555 569 675 717 864 867",
    "bus": "654 779 874",
    "train": "466 547 705 820 829",
    "bicycle": "444 671",
    "motorcycle": "665 670",
    "ship": "403 472 510 554 576 625 628 724 780 814 833 871 914",
    "gun": "413 763 764",
    "glasses": "836-837",
    "suit": "834",
    "dress": "578 601 689",
    "hat": "515 808",
    "helmet": "518 560",
    "mask": "570 643 796",
    "umbrella": "879",
    "soccer ball": "805",
    "basketball": "430",
    "baseball": "429",
    "tennis ball": "852",
    "golf ball": "574",
    "guitar": "402 546",
    "piano": "579 881",
    "microphone": "650",
    "castle": "483",
    "church": "497",
    "mosque": "668",
    "lighthouse": "437",
    "bridge": "821 839 888",
    "volcano": "980",
    "mountain": "970",
    "coast": "972 976-978",
    "throne": "857",
    "teddy bear": "850",
    "carousel": "476",
    "candle": "470",
    "clock": "409 530 892",
    "carved pumpkin": "607",
    "flower": "985-986",
    "pizza": "963",
    "shoe": "502 514 630 770 774",
    "bag": "414 748",
    "bottle": "440 720 737 898 907",
    "lipstick": "629",
    "camera": "732 759",
    "laptop": "620 681",
    "telephone": "487 528",
    "watch": "531",
    "sofa": "831",
    "chair": "423 559 765",
    "lamp": "619 846",
}
NAMES = tuple(KINDS)


def version() -> str:
    """Return what identifies the table: labels that were kept under another one are not of these kinds."""
    return hashlib.sha256(repr(KINDS).encode()).hexdigest()[:12]


@cache
def membership() -> np.ndarray:
    """Return float32 [classes, kinds]: 1 where a class is of a kind."""
    table = np.zeros((CLASSES, len(KINDS)), np.float32)
    for kind, classes in enumerate(KINDS.values()):
        for part in classes.split():
            first, _, last = part.partition("-")
            table[int(first) : int(last or first) + 1, kind] = 1
    return table
