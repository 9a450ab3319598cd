"""``rfwarp app``"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from rfwarp.cli.arguments import UsageError, choose_device


@dataclass(frozen=True)
class App:
    """Serve a page on this machine, where images are dropped, poses moved and results seen; the
    same as a REST API."""

    weights: Annotated[UseAppendAction[tuple[str, ...]], arg(aliases=["-w"], metavar="MODEL")] = ()
    """Bundled model, folder, or Hugging Face Hub id owner/name, to choose from on the page; may be
    given several times. By default all bundled models."""
    port: int | None = None
    """Port on 127.0.0.1; by default the first free one from 7860 on."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise UsageError(f"--port must lie in 1..65535, got {self.port}")

    def run(self) -> None:
        from rfwarp.app import server
        from rfwarp.app.studio import Studio
        from rfwarp.pretrained import list_models

        device = choose_device(self.device)
        pages = server.build(Studio(self.weights or list_models(), device))
        server.launch(pages, self.port)
