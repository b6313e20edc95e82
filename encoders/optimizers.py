"""Which of ONNX Runtime's graph optimizers a model must do without."""


def disabled_optimizers(precision: str) -> list[str]:
    """What ONNX Runtime must leave out: blocks of channels for the CPU's convolutions crash it on some graphs of fp16."""
    return ["NchwcTransformer"] if precision == "fp16" else []
