"""`migrate_to_supabase` on a site whose texts mention files."""

import json
from collections.abc import Iterator

import pytest

from tests.storage.transfer.test_failures import retarget
from tests.support.proxy import Fault, Proxy
from tests.support.site import Site

pytestmark = pytest.mark.slow  # each starts processes


@pytest.fixture
def public(site: Site) -> Iterator[Site]:
    """A site whose target bucket is public."""
    site.bucket = f"p{site.bucket}"
    site.make_bucket(site.bucket, public=True)
    return site


def article(site: Site, body: str = "", link: str = "", data: str | None = None) -> int:
    statement = "insert into foreign_article (body, link, data) values (?, ?, ?) returning id"
    [(number,)] = site.sql(statement, body, link, data)
    return number


def articles(site: Site) -> list[tuple[str, str, str | None]]:
    return site.sql("select body, link, data from foreign_article order by id")


def url(site: Site, name: str) -> str:
    return f"{site.server.url}/storage/v1/object/public/{site.bucket}/{name}"


def test_a_dry_run_names_the_texts_with_row_and_column(public: Site):
    public.with_files("leaflets/plan.pdf", "leaflets/guía.pdf")
    article(public, '<a href="/media/leaflets/plan.pdf">', data='{"file": "leaflets/gu\\u00eda.pdf"}')
    article(public, "nothing", link="http://zoo.example/media/leaflets/gone.pdf")
    before = public.dump()

    said = public.run("--dry-run", "--rewrite-text")

    assert f"text, link: foreign.Article.body 1: '/media/leaflets/plan.pdf' → '{public.server.url}" in said
    assert "text, name: foreign.Article.data 1: 'leaflets/guía.pdf' → 'leaflets/guia-" in said
    assert "text, unmoved: foreign.Article.link 2: 'http://zoo.example/media/leaflets/gone.pdf'" in said
    assert said.count("text, ") == 3
    assert public.dump() == before


def test_texts_follow_their_files_and_come_back(public: Site):
    public.with_files("leaflets/plan.pdf", "leaflets/guía.pdf")
    public.sql("create view foreign_articleview as select id, body from foreign_article")
    data = '{"n":1.10, "files":["leaflets/gu\\u00eda.pdf"]}'
    article(
        public, "<a href='/media/leaflets/plan.pdf'> <img src='/media/leaflets/gu%C3%ADa.pdf'>", data=data
    )
    article(public, '[{"src": "\\/media\\/leaflets\\/gu\\u00eda.pdf", "alt": "año"}]')
    before = public.dump(), public.disk()

    without = public.run("--report", "r.json")
    texts = json.loads((public.folder / "r.json").read_text())["texts"]
    said = public.run("--rewrite-text")
    again = public.run()

    new = next(name for name in public.names() if name.startswith("leaflets/guia-"))
    assert "all files are moved" not in without
    assert "4 mentions in the texts above would break: run it again with --rewrite-text" in without
    assert texts == {"link": 3, "name": 1}
    assert "4 rewritten" in said
    assert "all files are moved" in said
    assert "all files are moved" in again
    first, second = articles(public)
    assert first[0] == f"<a href='{url(public, 'leaflets/plan.pdf')}'> <img src='{url(public, new)}'>"
    assert first[2] == data.replace("leaflets/gu\\u00eda.pdf", new)
    assert second[0] == f'[{{"src": "{url(public, new)}", "alt": "año"}}]'
    assert public.sql("select search_text from foreign_article where id = 1") == [(first[0].lower(),)]
    assert "4 put back" in public.run("--rollback", str(public.journal))
    assert (public.dump(), public.disk()) == before
    assert "0 put back, 0 left" in public.run("--rollback", str(public.journal))


def test_a_text_that_was_edited_since_is_left_on_the_way_back(public: Site):
    public.with_files("plan.pdf")
    article(public, "/media/plan.pdf")
    article(public, "/media/plan.pdf")
    public.run("--rewrite-text")
    public.sql("update foreign_article set body = body || '!' where id = 1")

    said = public.run("--rollback", str(public.journal))

    assert "changed: foreign.Article.body 1: its text has changed since" in said
    assert [body for body, _, _ in articles(public)] == [f"{url(public, 'plan.pdf')}!", "/media/plan.pdf"]


def test_what_cannot_be_rewritten_is_told_and_stays(public: Site):
    long = "/media/" + "a" * 30 + ".pdf"
    public.with_files("plan.pdf", "a" * 30 + ".pdf")
    article(public, "/media/plan.pdf")
    article(public, "/media/plan.pdf /media/other.pdf", link=long)
    public.sql(
        "create trigger stubborn before update on foreign_article when old.id = 1"
        " begin select raise(abort, 'no'); end"
    )

    said = public.run("--rewrite-text", code=1)

    assert "text, database: foreign.Article.body 1: '/media/plan.pdf'" in said
    assert "The row cannot be changed: no" in said
    assert "\n  and " not in said
    assert "text, too_long: foreign.Article.link 2" in said
    assert "text, unmoved: foreign.Article.body 2: '/media/other.pdf'" in said
    assert articles(public) == [
        ("/media/plan.pdf", "", None),
        (f"{url(public, 'plan.pdf')} /media/other.pdf", long, None),
    ]
    assert "database: foreign.Article.body 1" not in public.run("--rollback", str(public.journal))


def test_links_to_private_files_keep_the_local_files(site: Site):
    site.with_files("plan.pdf", "map.pdf")
    article(site, "/media/plan.pdf")

    said = site.run("--rewrite-text")
    purged = site.run("--purge-source", "--yes", code=1)

    assert "text, private: foreign.Article.body 1: '/media/plan.pdf': its bucket is private" in said
    assert "all files are moved" not in said
    assert "needed: " in purged
    assert "a text links to it" in purged
    assert site.disk().keys() == {"plan.pdf"}


@pytest.mark.parametrize("side", ["before", "after"])
def test_texts_of_a_run_that_was_killed_are_rewritten_by_the_next(public: Site, side: str):
    names = [f"{number}/ñ.pdf" for number in range(4)]
    public.with_files(*names)
    for name in names:
        article(public, f"/media/{name}", data=json.dumps([name]))
    before = public.dump()
    running = []

    def plan(number: int, method: str, path: str) -> Fault | None:
        is_move = path.endswith("/object/move")
        return Fault(**{side: running[0].kill}) if is_move and len(running) == 1 else None

    with Proxy(public.server.url, plan) as proxy:
        running.append(public.start("--rewrite-text", "--jobs", "1", environment={"FOREIGN_URL": proxy.url}))
        running[0].communicate(timeout=60)
        retarget(public, proxy.url)
    public.run("--rewrite-text")

    assert articles(public) == [(url(public, name), "", json.dumps([name])) for name in public.names()]
    public.run("--rollback", str(public.journal))
    assert public.dump() == before


def test_texts_follow_a_file_whose_row_was_the_last_change_of_a_killed_run(public: Site):
    public.with_files("leaflets/guía.pdf")
    article(public, "/media/leaflets/guía.pdf", data='["leaflets/guía.pdf"]')
    before = public.dump()
    public.run()
    lines = public.journal.read_text().splitlines(keepends=True)
    public.journal.write_text("".join(line for line in lines if '"done"' not in line))

    public.run("--rewrite-text")

    [name] = public.names()
    assert articles(public) == [(url(public, name), "", f'["{name}"]')]
    public.run("--rollback", str(public.journal))
    assert public.dump() == before
