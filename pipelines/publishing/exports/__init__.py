"""Datasets in the form that other trainers read unchanged: one small module a reader, all of them pure."""

from pipelines.publishing.exports.export import Export
from pipelines.publishing.exports.registry import FORMATS, Format

__all__ = ["FORMATS", "Export", "Format"]
