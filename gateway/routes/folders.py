"""The route of the server's folders, from which one is chosen to ingest it."""

import asyncio
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.openapi import problem_responses
from gateway.settings import GatewaySettings
from rpc.errors import InvalidArgument, NotFound, PermissionDenied
from sources.errors import MissingSourceError, OutsideRootsError, SourceError
from sources.folders import subfolders
from sources.roots import ImageRoots

router = APIRouter(tags=["jobs"])


class FolderList(BaseModel):
    """The folders in a folder."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="The folder; empty: the image roots are listed.")
    folders: list[str] = Field(description="The paths of the folders in it by name, at most 1,000.")


@router.get("/folders", responses=problem_responses(400, 403, 404))
async def list_folders(
    request: Request, path: Annotated[str, Query(description="A folder below the image roots; empty: the roots.")] = ""
) -> FolderList:
    """List the folders below the image roots, to choose one for an ingest."""
    if not request.state.caller.entry.files:
        raise PermissionDenied("path: this token may not name files")
    settings = cast("GatewaySettings", request.app.state.settings)
    try:
        folders = await asyncio.to_thread(lambda: subfolders(ImageRoots(settings.roots), path))
    except OutsideRootsError as error:
        raise PermissionDenied("path: this folder is outside the image roots") from error
    except MissingSourceError as error:
        raise NotFound(f"path: there is no {path}") from error
    except SourceError as error:
        raise InvalidArgument(f"path: {error}") from error
    return FolderList(path=path, folders=[str(folder) for folder in folders])
