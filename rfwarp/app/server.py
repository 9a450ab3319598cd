"""The app as a whole, served on this machine."""

from __future__ import annotations

from typing import Any

try:
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ModuleNotFoundError as error:
    raise ImportError(f'the app needs {error.name}: pip install "rfwarp[app]"') from error

from rfwarp.app.api import add_api
from rfwarp.app.camera_page import CameraPage
from rfwarp.app.page import CSS
from rfwarp.app.points_page import KeypointsPage, LandmarksPage
from rfwarp.app.studio import MAX_FILE_MB, Studio
from rfwarp.app.viewpoint_page import ViewpointPage
from rfwarp.poses import CameraMotion, FaceLandmarks, Keypoints, Viewpoint

TITLE = "rfwarp"
HOSTS = ["127.0.0.1", "localhost"]
KEPT_SECONDS = 3600  # how long files of users are kept


def build(studio: Studio) -> gr.Blocks:
    """The pages of an app, to be launched by :func:`launch`.

    Raises:
        FileNotFoundError, ValueError: if there is no such model, or the app cannot show it.
    """
    kinds = studio.kinds()
    with gr.Blocks(
        title=TITLE,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(KEPT_SECONDS, KEPT_SECONDS),
    ) as pages:
        gr.Markdown("# rfwarp\nA new image of something from several images of it.")
        for kind, title, page in (
            (Viewpoint.kind, "Things, by viewpoint", ViewpointPage),
            (Keypoints.kind, "People, by keypoints", KeypointsPage),
            (FaceLandmarks.kind, "Faces, by landmarks", LandmarksPage),
            (CameraMotion.kind, "Streets, by camera", CameraPage),
        ):
            if kind in kinds:
                with gr.Tab(title):
                    page(studio, kinds[kind])
        add_api(studio)
    for block in pages.blocks.values():
        _refuse_addresses(block)
    return pages


def launch(pages: gr.Blocks, port: int | None, *, wait: bool = True) -> str:
    """Serve pages on this machine alone.

    Args:
        port: None takes the first free one from 7860 on.
        wait: until interrupted.

    Returns:
        Their address.

    Raises:
        OSError: if the port is taken.
    """
    fonts = ["system-ui", "sans-serif"]  # names, not gradio's, which come from elsewhere
    pages.queue(max_size=64, default_concurrency_limit=4)
    try:
        _, address, _ = pages.launch(
            server_name=HOSTS[0],
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            ssr_mode=False,
            show_error=True,
            max_file_size=f"{MAX_FILE_MB}mb",
            mcp_server=False,
            pwa=False,
            run_history=False,
            footer_links=["api"],
            css=CSS,
            # A page of another site must not reach the app under a name of its own (DNS rebinding).
            app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)]},
            theme=gr.themes.Default(font=fonts, font_mono=["monospace"]),
            prevent_thread_lock=True,
        )
    except OSError as error:  # gradio's advice is not for our users
        wanted = "every port from 7860 to 7959" if port is None else f"port {port}"
        raise OSError(f"the app cannot be served: {wanted} of {HOSTS[0]} is taken") from error
    if wait:
        print(f"rfwarp app: {address} (Ctrl+C ends it)", flush=True)
        pages.block_thread()
    return address


def _refuse_addresses(block: Any) -> None:
    """Let a component take uploaded files only: gradio would fetch web addresses for clients."""
    if not hasattr(block, "async_move_resource_to_block_cache"):
        return
    keep = block.async_move_resource_to_block_cache

    async def uploaded(path: Any) -> Any:
        if path is not None and "://" in str(path):
            raise gr.Error("files are uploaded, not fetched from an address", print_exception=False)
        return await keep(path)

    block.async_move_resource_to_block_cache = uploaded
