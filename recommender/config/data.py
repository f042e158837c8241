"""Configuration of the tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recommender.config.section import Section

ColumnKey = Literal[
    "item_id", "title", "description", "image", "audio", "video", "user_id", "timestamp", "position", "rating"
]
WithoutTime = Literal["file", "sets"] | None


class ColumnsConfig(Section):
    """The names of the user's columns. An item's remaining columns become its attributes."""

    item_id: str = "item_id"
    title: str = "title"
    description: str = "description"
    image: str = "image"
    audio: str = "audio"
    video: str = "video"
    user_id: str = "user_id"
    timestamp: str = "timestamp"
    position: str = "position"
    rating: str = "rating"


class TableConfig(Section):
    """How one table is written, where that is not to be found by looking; and names of columns that it alone has."""

    columns: dict[ColumnKey, str] = Field(
        default_factory=dict, description="names of columns in this table, where they differ from data.columns"
    )
    header: tuple[str, ...] | None = Field(
        None, min_length=1, description="the names of all columns, in order, of a text file without a header line"
    )
    separator: str | None = Field(
        None, min_length=1, description='what separates the fields of a text file, e.g. "\\t" or "::"; default: found'
    )
    encoding: str | None = Field(None, description="of a text file, e.g. latin-1; default: found")


class FactsConfig(Section):
    """A table that says more of the items than their own: who made a film, where a book is set."""

    table: str = Field(description="a file, a folder or an embedded table, e.g. film-facts")
    layout: TableConfig = Field(TableConfig(), description="how that table is written")
    by: str = Field("title_year", description="how rows are found: title_year, item_id, or an attribute of both tables")
    columns: tuple[str, ...] | None = Field(
        None, description="the columns that items take where they have none of the name; default: all"
    )
    years_apart: int = Field(1, ge=0, le=5, description="by how many years the two tables may differ for one title")
    most_people: int = Field(
        8, ge=1, description="a longer cast is cut to this many people: those of most items of the catalogue"
    )
    known_from: int = Field(2, ge=1, description="of a longer cast only people of so many items are taken")
    encoded: bool = Field(
        True,
        description="text encoders read them, too; false: only filters, justifications and explanations know them, and the"
        " vectors of a checkpoint that was trained without them stay right",
    )


class DataConfig(Section):
    """The tables of items and interactions: each a file, a folder, or the name of an embedded data set."""

    items: str = "movielens-100k"
    interactions: str = "movielens-100k"
    columns: ColumnsConfig = ColumnsConfig()
    items_table: TableConfig = TableConfig()
    interactions_table: TableConfig = TableConfig()
    facts: FactsConfig | None = Field(None, description="a table that says more of the items, joined to them")
    on_error: Literal["stop", "drop"] = Field(
        "stop",
        description="drop: leave out rows with errors, listed in a file beside the table, and media that cannot be read",
    )
    without_time: WithoutTime = Field(
        None,
        description="what orders interactions that have no time: the order of the file (the default, with a note), or none"
        " (sets: a fixed shuffle)",
    )
    standin_media: bool = Field(False, description="render a title card and speak the title where an item has no media")
    minimum_rating: float | None = Field(None, description="drop interactions rated lower (counted in the report)")
    users: int | None = Field(None, ge=1, description="learn from an even sample of this many users; default: all")

    @classmethod
    def of(cls, data: DataConfig | ColumnsConfig | None) -> DataConfig:
        """Return a config of tables; names of columns alone, or nothing, have the defaults beside them."""
        if isinstance(data, DataConfig):
            return data
        return cls() if data is None else cls(columns=data)

    def columns_of(self, table: Literal["items", "interactions"]) -> ColumnsConfig:
        """Return the names of the columns of one of the two tables."""
        own = self.items_table if table == "items" else self.interactions_table
        return self.columns.model_copy(update=dict(own.columns.items())) if own.columns else self.columns
