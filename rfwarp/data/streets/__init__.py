"""Procedural streets, seen from a driving car."""

from rfwarp.data.streets.dataset import ProceduralStreets
from rfwarp.data.streets.folder import write_street_folder
from rfwarp.data.streets.parameters import StreetParameters

__all__ = ["ProceduralStreets", "StreetParameters", "write_street_folder"]
