import torch

from training.objects.task import augment


def test_mirroring_moves_the_boxes() -> None:
    """Where the image is mirrored its boxes are, so what was painted stays inside."""
    torch.manual_seed(0)
    pixels = torch.zeros(8, 20, 20, 3, dtype=torch.uint8)
    pixels[:, 4:10, 2:6] = 255
    truths = [torch.tensor([[1.0, 0.1, 0.2, 0.3, 0.5]])] * 8
    images, boxes = augment(pixels, truths)
    assert len({tuple(box[0].tolist()) for box in boxes}) == 2
    for image, box in zip(images, boxes, strict=True):
        x_min, y_min, x_max, y_max = (box[0, 1:] * 20).round().int().tolist()
        assert image[:, y_min:y_max, x_min:x_max].mean() > image.mean() + 60
