"""Explaining a score: what each part of the query contributed to it."""

import numpy as np

from services.search.query import Contribution, PartTerm
from services.stores.queries import Hit
from services.stores.records import Embeddings


def contributions(hit: Hit, embedding: Embeddings, terms: tuple[PartTerm, ...]) -> tuple[Contribution, ...]:
    """The contribution of each part to the score of a hit with this embedding (D,).

    The query's embedding is the sum of its parts' terms, so the score, a product with it, is the sum of their products.
    """
    return tuple(Contribution(term.part, float(_row_of(term, hit) @ embedding)) for term in terms)


def _row_of(term: PartTerm, hit: Hit) -> Embeddings:
    """The term in that embedding of the query that found the hit: of a part with several regions there is one for each."""
    row: Embeddings = np.asarray(term.embeddings[hit.query_position if len(term.embeddings) > 1 else 0])
    return row
