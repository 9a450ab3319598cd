"""A web page for the generator on this machine (``rfwarp app``), and the same as a REST API.

:mod:`rfwarp.app.studio` and :mod:`rfwarp.app.canvas` do the work; :mod:`rfwarp.app.server` shows
it in pages by gradio, which comes with ``pip install "rfwarp[app]"``.
"""
