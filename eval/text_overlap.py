"""Overlap of texts with references: BLEU of sacrebleu and ROUGE of rouge-score."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.errors import import_extra


def text_overlap(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return corpus BLEU and mean F1 of ROUGE-1, -2 and -L, each from 0 to 1; one reference a text. Empty without texts.

    Raises RecommenderError if the libraries are not installed.
    """
    if not texts:
        return {}
    sacrebleu, rouge = (
        import_extra("sacrebleu", "BLEU", "eval"),
        import_extra("rouge_score.rouge_scorer", "ROUGE", "eval"),
    )
    kinds = ("rouge1", "rouge2", "rougeL")
    scorer = rouge.RougeScorer(list(kinds), use_stemmer=False)
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    means = {f"rouge_{kind[5:].lower()}": sum(s[kind].fmeasure for s in scores) / len(scores) for kind in kinds}
    return {"bleu": sacrebleu.corpus_bleu(list(texts), [list(references)]).score / 100, **means}
