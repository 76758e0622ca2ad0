"""What the shapes of the REST door share: models, ids in paths, the parameters of a page, and the quick way to an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpResponse
from ninja import Field, Schema
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError, to_json

from letta_ade.core.ids import PREFIXES, id_pattern, is_id
from letta_ade.core.pagination import MOST_ROWS, Order, PageRequest

EXAMPLE_UUID = "123e4567-e89b-42d3-8456-426614174000"
#: The type of the validation error for a malformed id; the error table adds examples to it.
MALFORMED_ID = "malformed_id"


class Wire(BaseModel):
    """An object on the wire. Every field is sent, empty ones as null.

    Not a `ninja.Schema`: that one reads attributes of rows through a getter for each field, which made a list of fifty agents
    several times slower. Rows are turned by `of`.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class Body(BaseModel):
    """A request body. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), populate_by_name=True)

    def sent(self) -> set[str]:
        """The names of the fields that the client sent, null or not."""
        return set(self.model_fields_set)


def respond(value: Any, *, status: int = 200) -> HttpResponse:
    """A JSON answer: models, dicts and lists of them, written by pydantic's serialiser in one go."""
    return HttpResponse(to_json(value, by_alias=True), status=status, content_type="application/json")


def path_id(*kinds: str, words: tuple[str, ...] = ()) -> AfterValidator:
    """The check of a path parameter that is an id of one of these kinds (keys of `ids.PREFIXES`) or one of these words.

    Malformed is 422.
    """
    example = f"{PREFIXES[kinds[0]]}-{EXAMPLE_UUID}"

    def check(value: str) -> str:
        if value not in words and not any(is_id(kind, value) for kind in kinds):
            raise PydanticCustomError(
                MALFORMED_ID,
                "String should match pattern '{pattern}'",
                {"pattern": id_pattern(kinds[0]), "example": example},
            )
        return value

    return AfterValidator(check)


AgentId = Annotated[str, path_id("agent")]
BlockId = Annotated[str, path_id("block")]
GroupId = Annotated[str, path_id("group")]
#: A conversation of its own, or the default one of an agent: named by that agent, or `default` beside `agent_id`.
ConversationId = Annotated[str, path_id("conversation", "agent", words=("default",))]
MessageId = Annotated[str, path_id("message")]
PassageId = Annotated[str, path_id("passage")]
ProviderId = Annotated[str, path_id("provider")]
RunId = Annotated[str, path_id("run")]
StepId = Annotated[str, path_id("step")]
ToolId = Annotated[str, path_id("tool")]

#: Parameters of a list.
Limit = Annotated[int | None, Field(ge=1, description=f"How many; at most {MOST_ROWS} are given.")]


class PageQuery(Schema):
    """The parameters of every list."""

    before: str | None = None
    after: str | None = None
    limit: Limit = None
    order: Order | None = None
    order_by: Literal["created_at"] | None = None
    #: Deprecated twin of `order`, which wins.
    ascending: bool | None = None

    def page(self, *, limit: int = 50, order: Order = "desc") -> PageRequest:
        """What is asked for, with the list's own defaults where nothing is."""
        if self.ascending is not None:
            order = "asc" if self.ascending else "desc"
        return PageRequest(
            limit=self.limit or limit,
            order=self.order or order,
            after=self.after or None,
            before=self.before or None,
        )
