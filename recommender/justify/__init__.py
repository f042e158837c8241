"""Justifications: evidence by deletion, texts by the LLM, and a check of every claim in them."""

from recommender.justify.checker import ClaimChecker
from recommender.justify.claims import Claim, Verdict
from recommender.justify.evidence import Evidence, Influence, SharedFact, find_evidence
from recommender.justify.list_writing import written_list
from recommender.justify.style import Style
from recommender.justify.writing import Justification, Source, justify, sources
from recommender.justify.writing_examples import explain_examples

__all__ = [
    "Claim",
    "ClaimChecker",
    "Evidence",
    "Influence",
    "Justification",
    "SharedFact",
    "Source",
    "Style",
    "Verdict",
    "explain_examples",
    "find_evidence",
    "justify",
    "sources",
    "written_list",
]
