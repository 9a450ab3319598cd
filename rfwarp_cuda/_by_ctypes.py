"""The functions of csrc/information.h for a Python that has no ``_info`` module."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any


class Functions:
    """The same names as ``_info.pyi``, of a binary that is loaded."""

    def __init__(self, binary: Path) -> None:
        library = ctypes.CDLL(str(binary))
        self.contract: int = library.rfwarp_contract()
        for name, arguments in (
            ("build_info", []),
            ("cpu_capability", [ctypes.POINTER(ctypes.c_char_p)]),
            ("set_cpu_capability", [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]),
        ):
            function = getattr(library, f"rfwarp_{name}")
            function.restype, function.argtypes = ctypes.c_char_p, arguments
        self._library = library

    def build_info(self) -> dict[str, Any]:
        information: dict[str, Any] = json.loads(self._library.rfwarp_build_info())
        return information

    def cpu_capability(self) -> str:
        return self._capability("cpu_capability")

    def set_cpu_capability(self, capability: str) -> None:
        self._capability("set_cpu_capability", capability.encode())

    def _capability(self, function: str, *arguments: bytes) -> str:
        error = ctypes.c_char_p()
        call = getattr(self._library, f"rfwarp_{function}")
        name: bytes | None = call(*arguments, ctypes.byref(error))
        if name is None:
            raise RuntimeError((error.value or b"").decode())
        return name.decode()
