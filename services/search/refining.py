"""What is done with hits by the embeddings of what was found: near duplicates are grouped, hits spread, scores explained."""

import numpy as np

from services.search.diversity import spread
from services.search.explaining import contributions
from services.search.near_duplicates import groups_of
from services.search.paging import Page
from services.search.query import RefinedHit
from services.stores.queries import Hit
from services.stores.records import Embeddings

# With `general` it folds .97 of the copies of photos at other sizes and crops: python -m benchmarks.near_duplicates.
NEAR_DUPLICATE_COSINE = 0.94
MAX_NEAR_DUPLICATES = 100  # that a hit names


def refined(page: Page, hits: tuple[Hit, ...], embeddings: Embeddings) -> list[RefinedHit]:
    """The hits as the query wants them; `embeddings` (N, D) are those of the hits."""
    query = page.query
    groups = [[position] for position in range(len(hits))]
    if query.group_near_duplicates:
        groups = groups_of(embeddings, NEAR_DUPLICATE_COSINE)
    if query.diversity:
        leads = np.array([group[0] for group in groups], dtype=int)
        order = spread([hits[lead].score for lead in leads], embeddings[leads], query.diversity)
        groups = [groups[position] for position in order]
    return [
        RefinedHit(
            hits[lead],
            near_duplicates=tuple(hits[other] for other in others[:MAX_NEAR_DUPLICATES]),
            contributions=contributions(hits[lead], embeddings[lead], page.embedded.terms),
        )
        for lead, *others in groups
    ]
