"""Tools for agents, in the Model Context Protocol: the routes of the server as tools, with their limits and their queues.

The same tools over standard input and output (`recommender mcp`) and over HTTP (`/mcp`): see `mcp_transports`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial, wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar
from urllib.parse import quote

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError, UnexpectedToolError
from mcp.server.mcpserver.resources import ResourceSecurity
from mcp_types import ToolAnnotations
from pydantic import Field, StrictInt, ValidationError

from recommender.data.catalogue import Item
from recommender.engine import Request, make_request
from recommender.engine.counterfactual_answers import why_not
from recommender.engine.item_explanation import explain_item
from recommender.engine.parts import Part
from recommender.errors import wrong_fields
from recommender.server.access import caller_of
from recommender.server.callers import caller_name
from recommender.server.http_errors import HttpError, http_error_of
from recommender.server.items import PATH, described
from recommender.server.limits import check_id_lengths
from recommender.server.mcp_results import (
    Document,
    Explanation,
    KeptFeedback,
    ListedItem,
    NamedItem,
    Recommendations,
    SearchResult,
    SearchResults,
    Similar,
    WhyNot,
)
from recommender.server.people import check_explained
from recommender.server.schemas import LARGEST_K, check_list_lengths
from recommender.server.service import Service
from recommender.store.feedback import Fact, Feedback

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
Using = Callable[[], AbstractContextManager[Service]]
#: items that a search lists for an agent, and the side of a picture that it is shown
FOUND, SIDE = 20, 512
#: who speaks over standard input and output: one person, on their own machine
LOCAL_CALLER = "caller stdio"
#: ids are looked up in the catalogue, and name no files
_ANY_ID = ResourceSecurity(exempt_params=frozenset(("item_id",)))

ItemId = Annotated[str | int, Field(description="an item id, as `search` gives it")]
History = Annotated[
    list[str | int],
    Field(description="ids of items that the person knows or likes, oldest first; empty for a new person"),
]
Count = Annotated[int, Field(ge=1, le=LARGEST_K, description="length of the list")]
Query = Annotated[str | None, Field(max_length=500, description="a sentence about what is wanted")]
Filters = Annotated[
    dict[str, str | list[str]], Field(description="attribute -> values, one of which a recommended item must have")
]
Domains = Annotated[
    list[str] | dict[str, Annotated[StrictInt, Field(ge=0)]],
    Field(
        description="where the catalogue is joined of several: the domains whose best items take turns in the list, or"
        " domain -> most items of it (0: any number)"
    ),
]
Excluded = Annotated[list[str | int], Field(description="ids of items that must not be recommended")]
Without = Annotated[list[Part], Field(description="parts of the ranking that are switched off")]
User = Annotated[str | None, Field(max_length=200, description="who asks: their feedback counts, where it is kept")]


class OneLineServer(MCPServer[Any]):
    """A server of the SDK whose errors are one line: a tool's own, and those of arguments that do not fit."""

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool. Raises ToolError with one line."""
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(wrong_fields(error.__cause__)[:1000]) from None
            raise


def build(using: Using) -> MCPServer[Any]:
    """Return the server of tools and resources around a service. `using`: gives each call the service of the moment."""
    with using() as service:
        noun, name, tools = service.engine.style.noun, service.name, _Tools(service)
    server = OneLineServer(
        name,
        title=f"Recommendations of {noun}",
        instructions=f"Finds and recommends {noun}. Search for the ids of {noun} that the person knows, then recommend with"
        " these ids as the history. Scores are in nats; every claim of a justification was checked.",
        log_level="WARNING",
        resource_security=_ANY_ID,
    )
    for method, title in (
        (tools.recommend, f"Recommend {noun}"),
        (tools.explain, "Why this one"),
        (tools.why_not, "Why not that one"),
        (tools.similar, f"Similar {noun}"),
        (tools.search, f"Search {noun}"),
        (tools.fetch, "All that is known of one"),
    ):
        hints = ToolAnnotations(title=title, read_only_hint=True, idempotent_hint=True, open_world_hint=False)
        server.add_tool(_in_one_line(method, using), title=title, annotations=hints)
    hints = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    server.add_tool(_in_one_line(tools.feedback, using), title="Leave feedback", annotations=hints)
    _add_resources(server, using)
    return server


class _Tools:
    """One method a tool; its docstring is what agents read."""

    def __init__(self, service: Service) -> None:
        self.service, self.engine = service, service.engine

    async def recommend(
        self,
        context: Context[Any, Any],
        history: History = [],  # noqa: B006 (the SDK makes a schema of it and calls with its own)
        k: Count = 10,
        query: Query = None,
        filters: Filters = {},  # noqa: B006
        domains: Domains = [],  # noqa: B006
        exclude: Excluded = [],  # noqa: B006
        without: Without = [],  # noqa: B006
        explain: Annotated[bool, Field(description="justify each item, which takes longer")] = False,
        user: User = None,
    ) -> Recommendations:
        """Rank items for a person, by what they know and like, a query in words, and filters."""
        fields: dict[str, Any] = {"filters": filters, "domains": domains, "exclude": exclude, "explain": explain}
        request = self._request(history=history, k=k, query=query, without=without, user=user, **fields)
        request, told = await self.service.people.permitted(request)
        served = await self.service.listed_for_agent(request.model_copy(update={"explain": False}), told)
        items = list(served.ranking.items)
        if request.explain:
            most = self.service.limits.explained
            items[:most] = await self.service.justified(request, tuple(items[:most]), self.engine)
        await self.service.keep_for_agent(_caller(context), request, served.impression, items)
        listed, notes = [ListedItem.of(item) for item in items], [*told, *served.ranking.notes]
        return Recommendations(request_id=served.impression.request_id, items=listed, notes=notes)

    async def explain(
        self,
        item_id: ItemId,
        context: Context[Any, Any],
        history: History = [],  # noqa: B006
        query: Query = None,
        domains: Domains = [],  # noqa: B006
        without: Without = [],  # noqa: B006
        user: User = None,
    ) -> Explanation:
        """Say why an item is recommended for a history: a checked sentence, and what raises its score."""
        fields: dict[str, Any] = {"domains": domains, "without": without, "user": user}
        request = await self._to_explain(history=history, query=query, **fields)
        item = self._item(item_id)
        told = await self.service.writing.run(partial(explain_item, self.engine, request, item.item_id))
        await self.service.write_down_explained(_caller(context), request, told)
        return Explanation.model_validate(told | {"influences": told["evidence"]["influences"]})

    async def why_not(
        self,
        item_id: ItemId,
        history: History = [],  # noqa: B006
        k: Count = 10,
        query: Query = None,
        filters: Filters = {},  # noqa: B006
        domains: Domains = [],  # noqa: B006
        without: Without = [],  # noqa: B006
        user: User = None,
    ) -> WhyNot:
        """Say where an item stands in the answer to `recommend`, and the smallest change that would list it."""
        fields: dict[str, Any] = {"filters": filters, "domains": domains, "without": without, "user": user}
        request = await self._to_explain(history=history, k=k, query=query, **fields)
        item = self._item(item_id)
        told = await self.service.writing.run(partial(why_not, self.engine, request, item.item_id))
        return WhyNot.model_validate(told)

    async def similar(self, item_id: ItemId, k: Annotated[int, Field(ge=1, le=100)] = 10) -> Similar:
        """List the items whose texts are most like that of one."""
        item = self.engine.catalogue.index(self._item(item_id).item_id)
        if self.engine.vectors is None:
            raise HttpError(400, "this model has no vectors of texts, by which items are alike", "not_available")
        found = await self.service.ranking.run(partial(self.engine.similar_items, item, k))
        return Similar(items=[_named(self.engine.catalogue[other]) for other in found])

    async def search(
        self,
        query: str,
        context: Context[Any, Any],
        domain: Annotated[
            str | None, Field(description="where the catalogue is joined of several: the one domain to look in")
        ] = None,
    ) -> SearchResults:
        """Find items by the words of their titles, or by their attributes. Small typing errors do not matter."""
        most = min(FOUND, self.service.limits.listed)
        _, found = await self.service.items.find(query or "", most, domain=domain)
        results = [SearchResult(id=item.item_id, title=item.title, url=_url(item, context)) for item in found]
        return SearchResults(results=results)

    async def fetch(self, id: ItemId, context: Context[Any, Any]) -> Document:
        """Tell all that is known of an item."""
        item = self._item(id)
        told = described(item)
        text = self.engine.catalogue.document(self.engine.catalogue.index(item.item_id))
        media = {name: told[name] is not None for name in ("image", "audio")}
        return Document(
            id=item.item_id,
            title=item.title,
            text=text,
            url=_url(item, context),
            metadata={**told["attributes"], "has": media},
        )

    async def feedback(
        self,
        item_id: ItemId,
        opinion: Literal["helpful", "wrong", "not for me"],
        context: Context[Any, Any],
        user: User = None,
        facts: Annotated[list[Fact], Field(description="attribute and value of each fact that it is about")] = [],  # noqa: B006
        justification: Annotated[str | None, Field(max_length=600, description="the sentence that it is about")] = None,
    ) -> KeptFeedback:
        """Keep what somebody says of an item or of its justification. `not for me`: it is not shown to them again."""
        item = self._item(item_id)
        fields = {"opinion": opinion, "user": user, "facts": facts, "justification": justification}
        said = Feedback.model_validate({"item_id": item.item_id, **fields})
        kept = await self.service.keep(said, _caller(context))
        return KeptFeedback.model_validate(kept)

    def _request(self, **fields: Any) -> Request:
        """Return a request within the server's limits. Raises RecommenderError and HttpError."""
        request = make_request(**fields)
        check_list_lengths(request, self.service.limits.history)
        check_id_lengths(request)
        return request

    async def _to_explain(self, **fields: Any) -> Request:
        """Return a request of a person who agrees to explanations. Raises HttpError 403 for others."""
        request, told = await self.service.people.permitted(self._request(**fields))
        check_explained(told)
        return request

    def _item(self, item_id: str | int) -> Item:
        return self.service.items.item_of(str(item_id))


def _in_one_line(
    method: Callable[_Arguments, Awaitable[_Result]], using: Using
) -> Callable[_Arguments, Awaitable[_Result]]:
    """Return a tool of the service of the moment whose failures are tool errors of one line, as over HTTP: nothing in them
    names a folder. `method`: of some `_Tools`."""

    @wraps(method)
    async def called(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            with using() as service:
                result: _Result = await getattr(_Tools(service), method.__name__)(*args, **kwargs)
                return result
        except ValidationError as error:
            raise ToolError(wrong_fields(error)[:1000]) from None
        except Exception as error:
            raise ToolError(" ".join(str(http_error_of(error).detail).split())) from None

    return called


def _add_resources(server: MCPServer[Any], using: Using) -> None:
    @server.resource("item://{item_id}", title="An item", mime_type="application/json", security=_ANY_ID)
    async def item(item_id: str) -> dict[str, Any]:
        """All that is known of an item, as data."""
        with using() as service:
            return described(_found(service, item_id))

    @server.resource("item://{item_id}/image", title="An item's picture", mime_type="image/jpeg", security=_ANY_ID)
    async def image(item_id: str) -> bytes:
        """The picture of an item, as JPEG."""
        try:
            with using() as service:
                return (await service.items.media.jpeg(_found(service, item_id), SIDE))[1]
        except HttpError as error:
            raise ResourceNotFoundError(error.detail) from None


def _found(service: Service, item_id: str) -> Item:
    try:
        return service.items.item_of(item_id)
    except HttpError as error:
        raise ResourceNotFoundError(error.detail) from None


def _named(item: Item) -> NamedItem:
    return NamedItem(item_id=item.item_id, title=item.title)


def _url(item: Item, context: Context[Any, Any]) -> str:
    """Return where an item can be read: on this server, or, where there is no HTTP, as a resource."""
    request, name = context.request_context.request, quote(item.item_id, safe="")
    return f"item://{name}" if request is None else f"{str(request.base_url).rstrip('/')}{PATH}/{name}"


def _caller(context: Context[Any, Any]) -> str:
    request = context.request_context.request
    return LOCAL_CALLER if request is None else caller_of(request).name or caller_name(request)
