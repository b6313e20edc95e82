import torch

from training.objects.augmentation import augment


def test_mirroring_takes_the_boxes_along() -> None:
    """Where the picture is mirrored its boxes are, so what was painted stays inside."""
    torch.manual_seed(0)
    pixels = torch.zeros(8, 20, 20, 3, dtype=torch.uint8)
    pixels[:, 4:10, 2:6] = 255
    truths = [torch.tensor([[1.0, 0.1, 0.2, 0.3, 0.5]])] * 8
    pictures, boxes = augment(pixels, truths)
    assert len({tuple(box[0].tolist()) for box in boxes}) == 2
    for picture, box in zip(pictures, boxes, strict=True):
        x_min, y_min, x_max, y_max = (box[0, 1:] * 20).round().int().tolist()
        assert picture[:, y_min:y_max, x_min:x_max].mean() > picture.mean() + 60
