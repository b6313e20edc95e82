"""Measures the bundles on the test split: captions look for the images of the person that they describe."""

from pathlib import Path

from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from training.datasets.pedestrians import Pedestrians
from training.decoded import decoded
from training.embed import embed
from training.evaluation import Evaluation, Sample, spread
from training.metrics import evaluate_scores, same_label
from training.pedestrians.export import IMAGE, TEXT
from training.pedestrians.held_out import KS, both_ways, summary
from training.serving import Query, Served


class PedestriansEvaluation(Evaluation):
    """The test split of CUHK-PEDES, or of what is drawn in its layout."""

    collection, encoder = "pedestrians", IMAGE
    # What lies behind adds next to nothing to mAP, and a thousand hits take ten times as long to send.
    limit = 100

    def __init__(self, people: Pedestrians) -> None:
        self.images, self.queries = people.of("test"), people.queries("test")
        super().__init__({image.name: image.path for image in self.images})
        self.identities = [image.label for image in self.images]
        self.asked = [query.label for query in self.queries]

    def offline(self, models: Path) -> dict[str, float]:
        """Both ways between captions and images."""
        image, text = Bundle.load(models / IMAGE), Bundle.load(models / TEXT)
        tokenizer = Tokenizer(text)
        pixels = decoded(list(self.gallery.values()), image.image_preprocessing)
        captions = embed(text, [tokenizer.encode(query.caption).ids for query in self.queries])
        return both_ways(embed(image, list(pixels)), captions, self.identities, self.asked)

    def online(self, served: Served) -> dict[str, float]:
        """From captions to images; for mAP, what is not among the first hits comes last."""
        self.ingest(served)
        scores = self.scores(served, [Query(text=query.caption) for query in self.queries])
        return summary(evaluate_scores(scores, same_label(self.asked, self.identities), ks=KS))

    def samples(self) -> list[Sample]:
        return [
            Sample(
                Query(text=query.caption),
                query.caption,
                {image.name for image in self.images if image.label == query.label},
            )
            for query in spread(self.queries)
        ]
