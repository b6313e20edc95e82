"""Settings of the search process."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rpc.settings import ServerSettings


class SearchSettings(ServerSettings):
    """Settings of `python -m services.search`, read from FOVEA_SEARCH_* variables."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_SEARCH_", frozen=True)

    encoders: tuple[str, ...] = Field(
        ("127.0.0.1:50061",),
        description="Addresses of the encoder and detector processes, as a JSON list; those with the same bundle are "
        "replicas.",
    )
    milvus_uri: str = Field("http://127.0.0.1:19530", description="Where Milvus answers.")
    redis_url: str = Field("redis://127.0.0.1:6379", description="Where Redis answers.")
    urls: bool = Field(
        False, description="Fetch images of queries from https URLs, from public addresses only; see docs/queries.md."
    )
    url_mib: int = Field(16, ge=1, le=60, description="The largest image that is fetched from a URL, in MiB.")
    url_timeout_s: float = Field(10.0, gt=0, description="The longest that fetching an image may take, in seconds.")
    embedding_cache_mib: int = Field(
        64,
        ge=0,
        description="Memory for embeddings of contents that were queries lately, in MiB: they are not encoded again. 0 keeps "
        "none.",
    )
