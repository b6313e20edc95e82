"""Settings of the ingest process."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from domain.limits import MAX_IMAGE_BYTES, MAX_INPUTS
from rpc.settings import ServerSettings


class IngestSettings(ServerSettings):
    """Settings of `python -m services.ingest`, read from FOVEA_INGEST_* variables."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_INGEST_", frozen=True)

    encoders: tuple[str, ...] = Field(
        ("127.0.0.1:50061",),
        description="Addresses of the encoder and detector processes, as a JSON list; those with the same bundle are "
        "replicas.",
    )
    milvus_uri: str = Field("http://127.0.0.1:19530", description="Where Milvus answers.")
    redis_url: str = Field("redis://127.0.0.1:6379", description="Where Redis answers.")
    roots: tuple[Path, ...] = Field(
        (), description="The folders that images may be read from by path, as a JSON list; none switches it off."
    )
    uploads: Path | None = Field(
        None,
        description="The folder that keeps images sent as bytes, so that they can be shown later; none keeps none.",
    )
    urls: bool = Field(
        False,
        description="Fetch images whose uri is an https URL, from public addresses only; see docs/collections.md.",
    )
    url_mib: int = Field(16, ge=1, le=60, description="The largest image that is fetched from a URL, in MiB.")
    url_timeout_s: float = Field(10.0, gt=0, description="The longest that fetching an image may take, in seconds.")
    max_image_mib: int = Field(
        MAX_IMAGE_BYTES >> 20, ge=1, le=60, description="The largest image file that is accepted, in MiB."
    )
    exif: bool = Field(True, description="Keep when, with which camera and lens an image was taken, from its EXIF.")
    exif_location: bool = Field(False, description="Keep where it was taken, too.")
    items_in_flight: int = Field(
        256, ge=1, description="Images of all streams worked on at once, and images of one stream not yet answered."
    )
    mib_in_flight: int = Field(128, ge=1, description="Bytes of images of all streams held at once, in MiB.")
    read_threads: int = Field(4, ge=1, description="Threads that read, hash and check image files.")
    encode_batch: int = Field(MAX_INPUTS, ge=1, le=MAX_INPUTS, description="The most images in one call to an encoder.")
    encode_batch_mib: int = Field(16, ge=1, le=60, description="The most bytes in one call to an encoder, in MiB.")
    encode_calls: int = Field(3, ge=1, description="Calls to the encoder at once, for each stream.")
    detect_calls: int = Field(16, ge=1, description="Calls to the detector at once, for each stream.")
    write_batch: int = Field(64, ge=1, description="The most images written to the stores at once.")
    write_calls: int = Field(2, ge=1, description="Writes to the stores at once, for each stream.")
    max_jobs: int = Field(
        2, ge=1, description="Jobs that run at once, in all ingest processes on one Redis; more are refused."
    )
    item_time_s: float = Field(
        120.0, gt=0, description="The longest that one image may be worked on once it is admitted, in seconds."
    )
    sweep_period_s: float = Field(60.0, gt=0, description="Time between two sweeps for unfinished writes, in seconds.")
    quiet_s: float = Field(2.0, gt=0, description="How long after the last write a collection is flushed, in seconds.")
