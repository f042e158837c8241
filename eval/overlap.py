"""How much texts overlap with references, by the reference implementations: BLEU of sacrebleu, ROUGE of rouge-score."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.baselines.baseline import library


def overlap(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return BLEU over the whole and mean F1 of ROUGE-1, -2 and -L, each from 0 to 1; one reference a text.

    Raises RecommenderError if the libraries are not installed.
    """
    if not texts:
        return {}
    sacrebleu, rouge = library("sacrebleu", "BLEU"), library("rouge_score.rouge_scorer", "ROUGE")
    kinds = ("rouge1", "rouge2", "rougeL")
    scorer = rouge.RougeScorer(list(kinds), use_stemmer=False)
    scored = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    means = {f"rouge_{kind[5:].lower()}": sum(one[kind].fmeasure for one in scored) / len(scored) for kind in kinds}
    return {"bleu": sacrebleu.corpus_bleu(list(texts), [list(references)]).score / 100, **means}
