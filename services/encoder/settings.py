"""The settings of the encoder process."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from domain.limits import MAX_FRONTS, MAX_INPUTS
from encoders.serving.providers import Provider
from rpc.settings import ServerSettings


class EncoderSettings(ServerSettings):
    """The bundles to serve and how much of the machine they may use."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="FOVEA_ENCODER_")

    bundles: tuple[Path, ...] = Field(
        min_length=1, description="Folders of the bundles to serve, encoders and detectors alike."
    )
    provider: Provider = Field(
        "auto",
        description="Where models compute: auto takes CUDA where there is a GPU, else the CPU; TensorRT on request.",
    )
    cores: int = Field(
        0,
        ge=0,
        description="The cores that this process may use; 0 means those of its affinity, within the CPU quota of its container.",
    )
    fronts: Annotated[int, Field(ge=1, le=MAX_FRONTS)] | Literal["auto"] = Field(
        1,
        description="Processes that take calls and read inputs; with more than one the models run in a process of their own. "
        "auto takes one on a CPU, and on a GPU one for each two of `cores`, at most 8.",
    )
    threads: int = Field(
        0, ge=0, description="Threads that compute inside one model on the CPU; 0 means all of `cores` but one."
    )
    precision: str = Field(
        "",
        description="fp32, fp16 or int8, where the bundle has it, or fastest, which tries each of its precisions at start; empty "
        "means fp16 on a GPU if the bundle has it, else fp32.",
    )
    max_batch: int = Field(0, ge=0, le=256, description="The largest batch; 0 means what is fastest at start.")
    gpu_memory_mib: int = Field(0, ge=0, description="GPU memory for each model in MiB; 0 sets no limit.")
    queue_limit: int = Field(
        256,
        ge=MAX_INPUTS,
        description="Inputs and regions of each lane, interactive and bulk, that one model may have under way; more are "
        "refused with RESOURCE_EXHAUSTED.",
    )
    decode_threads: int = Field(
        0, ge=0, description="Images of each lane decoded at once; 0 means one for each of `cores`."
    )
    decode_mib: int = Field(
        768,
        ge=64,
        description="Memory that decoded images of each lane may take at once, in MiB; a larger one is decoded alone.",
    )
