"""Other people's logs become attempts: one small file per source.

A new source is one class with `name`, `licence`, `recognises` and `read`, added to `folder.IMPORTERS`.
"""

from pipelines.sources.importers.folder import IMPORTERS, read_folder
from pipelines.sources.importers.recording import Imported, Importer, Place, Recording

__all__ = ["IMPORTERS", "Imported", "Importer", "Place", "Recording", "read_folder"]
