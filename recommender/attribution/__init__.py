"""Attribution over media: which regions of a picture, seconds of a sound, modalities and items of a history made a score.

explain.py: one report of all; regions.py, moments.py: pictures and sounds with parts left out; media_worth.py: what such a
medium is worth to a score; towers.py: the frozen encoders; drawing.py: heat map and waveform; page.py: files to look at.
"""

from recommender.attribution.explain import explain_media
from recommender.attribution.report import MediaOptions, MediaReport

__all__ = ["MediaOptions", "MediaReport", "explain_media"]
