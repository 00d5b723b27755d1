"""The base of every record."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from data_contracts import CONTRACT_VERSION
from data_contracts.ids import canonical_json


class Record(BaseModel):
    """A frozen record that refuses unknown fields. `contract` names it in Parquet metadata and manifests."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    contract: ClassVar[str] = ""

    @classmethod
    def contract_id(cls) -> str:
        """Name and version of the contract, e.g. `token_row@1.0`."""
        if not cls.contract:
            raise ValueError(f"{cls.__name__} is a part of other records and has no contract of its own")
        return f"{cls.contract}@{CONTRACT_VERSION}"

    def plain(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return self.model_dump(mode="json")

    def canonical(self) -> str:
        """The record as canonical JSON: equal records give equal bytes."""
        return canonical_json(self.plain())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse and validate JSON text."""
        return cls.model_validate_json(text)
