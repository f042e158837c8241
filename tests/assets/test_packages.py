"""The embedded assets."""

from __future__ import annotations

import importlib

from recommender import assets
from recommender.assets.packages import ASSETS


def test_every_embedded_asset_is_pinned_and_licensed():
    for asset in ASSETS.values():
        assert len(asset.sha256) == 64 and asset.licence and asset.terms and asset.version
        assert assets.is_embedded(asset.name)


def test_every_asset_has_a_converter_and_a_folder_of_its_own():
    for name, asset in ASSETS.items():
        converter = importlib.import_module(f"recommender.assets.{asset.converter}")
        assert callable(converter.convert)
        assert (asset.name, asset.pin) == (name, f"{asset.package}=={asset.version}")
        assert asset.megabytes > 0 and asset.folder_megabytes > 0
    assert len({asset.folder for asset in ASSETS.values()}) == len(ASSETS)
