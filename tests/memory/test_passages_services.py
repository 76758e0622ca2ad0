"""Passages: stored with and without vectors, filtered before they are ranked, found by words and by meaning."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from letta_ade.core.errors import Forbidden, Invalid, NotFound, Unprocessable
from memory.models import Passage, PassageVector
from memory.services.archives import (
    ArchiveDraft,
    ArchiveFilters,
    create_archive,
    get_archive_for,
    get_archives,
    list_archives,
)
from memory.services.passages import (
    PassageDraft,
    count_passages,
    delete_passage,
    embed_texts,
    get_passage_for,
    insert_passages,
    list_passages,
    list_tags,
    search_passages,
)
from tests.support.factories import make_archive, make_caller, make_passage, make_workspace

pytestmark = pytest.mark.django_db


def insert(archive, text, vector=None, **fields):
    vectors = None if vector is None else [vector]
    draft = PassageDraft(text=text, **fields)
    return insert_passages(caller=make_caller(), archive=archive, drafts=[draft], vectors=vectors)[0]


def found(archives, query, **options):
    hits = search_passages(caller=make_caller(), archives=archives, query=query, **options)
    return [hit.passage.text for hit in hits]


def test_passages_are_stored_with_their_vectors():
    archive = make_archive(embedding="openai/m")
    drafts = [PassageDraft(text="one", tags=("a", "a", "b")), PassageDraft(text="two", agent_id="agent-1")]
    one, two = insert_passages(
        caller=make_caller(), archive=archive, drafts=drafts, vectors=[[1.0, 0.0], [0.0, 1.0]]
    )
    archive.refresh_from_db()
    assert (one.tags, two.agent_id, archive.embedding_dim) == (["a", "b"], "agent-1", 2)
    assert PassageVector.objects.get(passage=two).embedding == [0.0, 1.0]


def test_a_text_without_a_vector_is_stored_all_the_same():
    archive = make_archive(embedding="openai/m", embedding_dim=2)
    insert(archive, "no vector at all")
    insert(archive, "another size", [1.0, 2.0, 3.0])
    insert(archive, "not a number", [float("nan"), 1.0])
    assert Passage.objects.count() == 3
    assert not PassageVector.objects.exists()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (" \n", Invalid, "is empty"),
        ("word " * 8000, Invalid, r"at most 8192 tokens; this one has about 10000"),
        ("a\0b", Unprocessable, r"U\+0000"),
    ],
)
def test_a_bad_text_is_refused_with_the_reason(text, error, words):
    with pytest.raises(error, match=words):
        insert(make_archive(), text)
    assert not Passage.objects.exists()


def test_a_question_finds_the_text_with_most_of_its_words():
    archive = make_archive()
    insert(archive, "The cat of the neighbours is called Minka.")
    insert(archive, "Ada's cat Rosa eats only tuna, never salmon.")
    insert(archive, "The car needs new tyres.")
    texts = found([archive], "Which fish does my cat Rosa eat?")
    assert texts[0].startswith("Ada's cat Rosa")
    assert len(texts) == 2


def test_parts_of_words_and_texts_without_spaces_are_found():
    archive = make_archive()
    insert(archive, "The key is in config_loader.")
    insert(archive, "猫の名前はミンカです")
    assert found([archive], "onfig_load") == ["The key is in config_loader."]
    assert found([archive], "名前") == ["猫の名前はミンカです"]


@pytest.mark.parametrize("query", ["", "  ", "\0"])
def test_an_empty_query_finds_nothing(query):
    archive = make_archive()
    insert(archive, "text")
    assert found([archive], query) == []


@pytest.mark.parametrize("query", ["a & b | !c <-> 'd", "it's:* (", "%_\\", "the", "x" * 5000])
def test_no_query_breaks_the_search(query):
    archive = make_archive()
    insert(archive, "text")
    assert found([archive], query) == []


def test_what_both_rankings_know_comes_first():
    archive = make_archive(embedding="openai/m")
    insert(archive, "Nothing in common, but near.", [1.0, 0.0])
    insert(archive, "The harbour of Oslo.", [0.9, 0.1])
    insert(archive, "Oslo is far.", [-1.0, 0.0])
    hits = search_passages(
        caller=make_caller(), archives=[archive], query="harbour Oslo", query_vector=[1.0, 0.0]
    )
    assert hits[0].passage.text == "The harbour of Oslo."
    by_text = {hit.passage.text: hit for hit in hits}
    near = by_text["Nothing in common, but near."]
    assert (near.vector_rank, near.fts_rank) == (1, None)
    assert near.score == pytest.approx(0.5 / 61)
    both = by_text["The harbour of Oslo."]
    assert (both.vector_rank, both.fts_rank) == (2, 1)
    assert both.score == pytest.approx(0.5 / 62 + 0.5 / 61)


def test_vectors_of_another_model_are_not_compared():
    ours, theirs = make_archive(embedding="openai/m"), make_archive(embedding="openai/other")
    insert(ours, "near in ours", [1.0, 0.0])
    insert(theirs, "near in theirs", [1.0, 0.0])
    assert found([ours, theirs], "xyz", query_vector=[1.0, 0.0]) == ["near in ours"]
    assert found([ours, theirs], "xyz", query_vector=[1.0, 0.0], embedding="openai/other") == [
        "near in theirs"
    ]
    assert found([ours], "xyz", query_vector=[1.0, 0.0, 0.0]) == []


def test_the_ranks_of_several_archives_are_merged():
    first, second = make_archive(), make_archive()
    insert(first, "tea")
    insert(second, "green tea ceremony")
    assert found([first, second], "green tea ceremony") == ["green tea ceremony", "tea"]


def test_tags_narrow_the_search_before_the_limit():
    archive = make_archive(embedding="openai/m")
    for number in range(80):
        insert(archive, f"tea {number} tea", [1.0, 0.0])
    insert(archive, "a note that names tea once among others", [0.5, 0.5], tags=("rare", "b"))
    options = {"query_vector": [1.0, 0.0], "limit": 1}
    assert found([archive], "tea", tags=["rare"], **options) == ["a note that names tea once among others"]
    assert found([archive], "tea", tags=["rare", "x"], **options) != []
    assert found([archive], "tea", tags=["rare", "x"], tag_match_mode="all", **options) == []
    assert found([archive], "tea", tags=["b", "rare"], tag_match_mode="all", **options) != []


def test_dates_narrow_the_search_and_include_their_ends():
    archive = make_archive(embedding="openai/m")
    moment = datetime(2026, 1, 5, 12, tzinfo=UTC)
    insert(archive, "tea", [1.0, 0.0], dated_at=moment)
    later = datetime(2026, 1, 6, tzinfo=UTC)
    for options in ({}, {"query_vector": [1.0, 0.0]}):
        assert found([archive], "tea", start=moment, end=moment, **options) == ["tea"]
        assert found([archive], "tea", start=later, **options) == []
        assert found([archive], "tea", end=datetime(2026, 1, 5, 11, tzinfo=UTC), **options) == []


def test_the_limit_cuts_the_best_first():
    archive = make_archive()
    for number in range(9):
        insert(archive, f"tea {number}")
    assert len(found([archive], "tea")) == 5
    assert len(found([archive], "tea", limit=7)) == 7
    assert found([archive], "tea", limit=0) == []


def test_a_search_takes_three_queries(django_assert_num_queries):
    archive, caller = make_archive(embedding="openai/m"), make_caller()
    for number in range(3):
        insert(archive, f"tea {number}", [1.0, float(number)])
    with django_assert_num_queries(3):
        search_passages(caller=caller, archives=[archive], query="tea", query_vector=[1.0, 0.0])


def test_lists_are_by_date_and_narrowed(django_assert_num_queries):
    archive, caller = make_archive(), make_caller()
    insert(archive, "Later tea", dated_at=datetime(2026, 2, 1, tzinfo=UTC), tags=("a",))
    insert(archive, "Earlier", dated_at=datetime(2026, 1, 1, tzinfo=UTC), tags=("b", "a"))

    def texts(**options):
        return [row.text for row in list_passages(caller=caller, archives=[archive], **options)]

    with django_assert_num_queries(1):
        assert texts() == ["Earlier", "Later tea"]
    assert texts(search="TEA") == ["Later tea"]
    assert texts(tags=["b"]) == ["Earlier"]
    assert texts(start=datetime(2026, 1, 15, tzinfo=UTC)) == ["Later tea"]
    assert list_tags(caller=caller, archives=[archive]) == ["a", "b"]
    assert count_passages(caller=caller, archives=[archive]) == 2


def test_a_passage_is_deleted_with_its_vector_and_only_from_its_archive():
    archive, other = make_archive(embedding="openai/m"), make_archive()
    passage = insert(archive, "tea", [1.0, 0.0])
    caller = make_caller()
    with pytest.raises(NotFound):
        delete_passage(caller=caller, passage_id=passage.id, archives=[other])
    delete_passage(caller=caller, passage_id=passage.id, archives=[archive, other])
    assert not Passage.objects.exists()
    assert not PassageVector.objects.exists()
    with pytest.raises(NotFound):
        delete_passage(caller=caller, passage_id=passage.id)


def test_another_workspaces_archive_and_passage_are_not_found():
    archive = make_archive(workspace=make_workspace(), embedding="openai/m", embedding_dim=2)
    passage = make_passage(archive=archive, text="their tea")
    PassageVector.objects.create(passage=passage, archive=archive, embedding=[1.0, 0.0])
    caller = make_caller()
    with pytest.raises(NotFound, match=archive.id):
        get_archive_for(caller=caller, archive_id=archive.id)
    with pytest.raises(NotFound, match=passage.id):
        get_passage_for(caller=caller, passage_id=passage.id)
    with pytest.raises(NotFound):
        delete_passage(caller=caller, passage_id=passage.id)
    assert get_archives(caller=caller, archive_ids=[archive.id]) == []
    assert not list_archives(caller=caller).exists()
    assert not list_passages(caller=caller, archives=[archive]).exists()
    assert found([archive], "tea", query_vector=[1.0, 0.0]) == []
    assert list_tags(caller=caller, archives=[archive]) == []
    assert count_passages(caller=caller, archives=[archive]) == 0


def test_archives_are_made_and_listed(django_assert_num_queries):
    caller = make_caller()
    first = create_archive(caller=caller, draft=ArchiveDraft(name="Notes", embedding="openai/m"))
    second = create_archive(caller=caller, draft=ArchiveDraft(name="Letters", description="All of them"))
    with django_assert_num_queries(1):
        assert list(list_archives(caller=caller)) == [first, second]
    assert list(list_archives(caller=caller, filters=ArchiveFilters(name="Notes"))) == [first]
    assert list(list_archives(caller=caller, filters=ArchiveFilters(name_search="ETT"))) == [second]
    assert get_archives(caller=caller, archive_ids=[second.id, "archive-gone", first.id]) == [second, first]
    for name in (" ", "x" * 256):
        with pytest.raises(Unprocessable, match="name"):
            create_archive(caller=caller, draft=ArchiveDraft(name=name))


def test_a_viewer_stores_and_deletes_nothing():
    viewer, archive = make_caller(role="viewer"), make_archive()
    passage = insert(archive, "tea")
    for write in (
        lambda: create_archive(caller=viewer, draft=ArchiveDraft(name="x")),
        lambda: insert_passages(
            caller=viewer, archive=archive, drafts=[PassageDraft(text="x")], vectors=None
        ),
        lambda: delete_passage(caller=viewer, passage_id=passage.id),
    ):
        with pytest.raises(Forbidden):
            write()


class _Embeddings(BaseHTTPRequestHandler):
    """An embedding server with two numbers for each text; it fails for a text that says so."""

    def do_GET(self):
        self._answer(200, {"object": "list", "data": []})

    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        if "fail" in texts:
            self._answer(400, {"error": {"message": "The server does not like this text."}})
            return
        rows = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]}
            for at, text in enumerate(texts)
        ]
        self._answer(200, {"object": "list", "data": rows, "model": "m", "usage": {}})

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def embedding_server(settings):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Embeddings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    settings.LLM_ENVIRONMENT = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
    }
    yield "openai/text-embedding-3-small"
    server.shutdown()
    thread.join()
    server.server_close()


def test_texts_are_embedded_by_the_archives_model(embedding_server):
    archive = make_archive(embedding=embedding_server)
    assert embed_texts(archive, ["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]
    assert embed_texts(embedding_server, ["ab"]) == [[2.0, 1.0]]
    assert embed_texts(make_archive(), ["a"]) is None
    assert embed_texts(None, ["a"]) is None


def test_a_failing_embedding_model_costs_no_text(embedding_server, caplog):
    archive = make_archive(embedding=embedding_server)
    vectors = embed_texts(archive, ["fail"])
    assert vectors is None
    assert "going on without vectors" in caplog.text
    insert_passages(
        caller=make_caller(), archive=archive, drafts=[PassageDraft(text="fail")], vectors=vectors
    )
    assert found([archive], "fail") == ["fail"]


def test_an_unknown_embedding_model_costs_no_text(embedding_server):
    assert embed_texts("nobody/nothing", ["text"]) is None
