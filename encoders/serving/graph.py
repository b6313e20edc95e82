"""One ONNX graph of a bundle, loaded and checked: named arrays in, named arrays out."""

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.errors import BundleError, ModelError, first_line
from encoders.optimizers import disabled_optimizers
from encoders.serving.cuda_libraries import missing_library
from encoders.serving.providers import (
    CPU,
    CUDA,
    SessionOptions,
    chosen_provider,
    default_precision,
    runtime_options,
    runtime_providers,
)
from encoders.serving.runs import AnySize, CapturedSize, Feeds, OneSize, Outputs, SizedRun

logger = logging.getLogger(__name__)


class Graph:
    """A bundle's model file at one precision on one provider; `BundleError` names a file that cannot be used.

    On a GPU, or where `fixed_sizes` asks for it, no session ever sees a second batch size: each has a session of its own,
    or a CUDA graph in a session that they share.
    """

    def __init__(
        self, bundle: Bundle, options: SessionOptions, *, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self._bundle = bundle
        self._options = options
        self._outputs = tuple(outputs)
        self._session: onnxruntime.InferenceSession | None = None
        self._choose(bundle, options)
        self._any_size = None if self.fixes_sizes else AnySize(self._session, outputs)
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        # None until the first image batch of a size is tried: whether one session can capture a CUDA graph for each.
        self._capturing: onnxruntime.InferenceSession | None = None
        self._captures = self.provider == CUDA and not options.fixed_sizes and bundle.kind not in {"text", "detector"}
        self._sized: dict[int, SizedRun] = {}
        self._check_names(inputs)

    @property
    def fixes_sizes(self) -> bool:
        """Whether each batch size needs a session or a CUDA graph of its own; else any size is as good as another."""
        return self.provider != CPU or bool(self._options.fixed_sizes)

    @property
    def is_on_cpu(self) -> bool:
        """Whether the cores compute."""
        return self.provider == CPU

    def staging(self, size: int) -> NDArray[Any] | None:
        """Where the images of a batch of this size are written before `compute`; None where it takes any array."""
        sized = self._sized.get(size)
        return None if sized is None or isinstance(sized, AnySize) else sized.staging

    def compute(self, feeds: Feeds, *, then_shrink: bool = False) -> tuple[Outputs, float]:
        """Run once; returns the outputs in the order asked for and the seconds it took.

        Where sizes are fixed, the first run of one makes its session, which takes a second. With `then_shrink` the memory
        that larger batches needed is given back.
        """
        try:
            run = self._any_size or self._for_size(feeds)
            started_s = time.perf_counter()
            outputs = run.run(feeds, self._shrinking if then_shrink and self._any_size else None)
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise ModelError(f"{self.path} failed: {error}") from error
        return outputs, time.perf_counter() - started_s

    @property
    def staged_sizes(self) -> tuple[int, ...]:
        """The batch sizes that have a session or a CUDA graph now."""
        return tuple(self._sized)

    def keep_sizes(self, sizes: Sequence[int]) -> None:
        """Give up what was made for other sizes, and its memory."""
        self._sized = {size: sized for size, sized in self._sized.items() if size in sizes}

    def _for_size(self, feeds: Feeds) -> SizedRun:
        size = len(next(iter(feeds.values())))
        if size not in self._sized:
            self._sized[size] = self._sized_run(feeds)
        return self._sized[size]

    def _sized_run(self, feeds: Feeds) -> SizedRun:
        if self._bundle.kind == "text":
            # Texts of a batch differ in length as well, and networks of words have no convolutions to plan.
            return AnySize(self._another_session(), self._outputs)
        if self._captures and (captured := self._captured(feeds)) is not None:
            return captured
        device = "cpu" if self.is_on_cpu else "cuda"
        return OneSize(self._another_session(), feeds, self._outputs, device=device)

    def _captured(self, feeds: Feeds) -> CapturedSize | None:
        """A CUDA graph of this size; None, from then on, where a node of the model is not on the GPU."""
        try:
            self._capturing = self._capturing or self._open(self.provider, cuda_graph=True)
            captured = CapturedSize(self._capturing, feeds, self._outputs)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a class of its own for each status
            self._captures, self._capturing = False, None
            cause = {"bundle": self._bundle.name, "cause": first_line(error)}
            logger.info("no CUDA graph, so each batch size has a session", extra=cause)
            return None
        self._session = None  # nothing runs in it, and its weights take memory of the GPU
        return captured

    def _another_session(self) -> onnxruntime.InferenceSession:
        # The session that the graph was checked with has run nothing yet, so the first size may have it.
        session, self._session = self._session, None
        return session or self._open(self.provider)

    def _choose(self, bundle: Bundle, options: SessionOptions) -> None:
        """Open the first session; ONNX Runtime falls back to the CPU without an error, which is right for `auto` alone."""
        chosen = chosen_provider(options)
        missing = "" if chosen == CPU else missing_library()
        cause = f"{missing} is missing" if missing else "it does not start"
        if not missing:
            self._use(bundle, options.precision or default_precision(bundle, chosen), chosen)
            if self.provider == chosen:
                return
        if options.provider != "auto":
            raise BundleError(
                f"{bundle.name}: {chosen} was asked for, and {cause}; `make venv-gpu` installs its libraries."
            )
        logger.warning(
            "the GPU cannot be used, so the CPU computes: %s; `make venv-gpu` installs its libraries",
            cause,
            extra={"bundle": bundle.name},
        )
        self._use(bundle, options.precision or default_precision(bundle, CPU), CPU)

    def _use(self, bundle: Bundle, precision: str, provider: str) -> None:
        self.precision = precision
        self.path = bundle.path_of(precision)
        self.sha256 = bundle.precisions[precision].sha256
        session = self._open(provider)
        self._session = session
        self.provider: str = session.get_providers()[0]

    def _open(self, provider: str, *, cuda_graph: bool = False) -> onnxruntime.InferenceSession:
        model = self._verified_bytes()
        providers = runtime_providers(provider, self._options, self.precision, cuda_graph=cuda_graph)
        try:
            # From bytes, ONNX Runtime reads no other file: weights outside of the verified ones are refused.
            session = onnxruntime.InferenceSession(
                model,
                runtime_options(self._options),
                providers=providers,
                disabled_optimizers=disabled_optimizers(self.precision),
                # It would print what failed on stdout and try the CPU.
                enable_fallback=0,
            )
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise BundleError(f"{self.path} cannot be loaded by ONNX Runtime: {first_line(error)}") from error
        # It keeps the bytes, as many as its weights have, for the fallback.
        session._model_bytes = None  # noqa: SLF001 - there is no other way to let go of them
        return session

    def _verified_bytes(self) -> bytes:
        # Read once: a file that changes between the check and a second reading would run unchecked.
        try:
            model = self.path.read_bytes()
        except OSError as error:
            raise BundleError(f"{self.path} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(model).hexdigest() != self.sha256:
            raise BundleError(f"{self.path} is damaged or was changed since it was described.")
        return model

    def _check_names(self, inputs: Sequence[str]) -> None:
        assert self._session is not None, "the names are checked before a size takes the session"
        found = {value.name for value in self._session.get_inputs()}
        computed = {value.name for value in self._session.get_outputs()}
        if found != set(inputs) or not computed.issuperset(self._outputs):
            raise BundleError(
                f"{self.path} has the inputs {', '.join(sorted(found))} and the outputs {', '.join(sorted(computed))}; "
                f"its kind of bundle has the inputs {', '.join(inputs)} and the outputs {', '.join(self._outputs)}."
            )
