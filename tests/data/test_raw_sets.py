"""Public sets in the layouts in which they are handed out: read as they are, with a few lines of config."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from recommender.config import DataConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.checks import validate
from recommender.data.histories import Histories
from recommender.data.tables import say_once
from recommender.errors import DataError

BOOKS = (
    '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\r\n'
    '"0195153448";"Classical Mythology";"Mark P. O. Morford";"2002";"Oxford University Press";"http://x.org/1.jpg"\r\n'
    '"3404148576";"Die Häupter; Roman";"Ingrid Noll";"2000";"Diogenes & Söhne";"http://x.org/2.jpg"\r\n'
    '"078946697X";"Creating the \\"X-Men\\"; How It Began (Level 4)\\"";"Michael";"2000";"DK";"http://x.org/3.jpg"\r\n'
    '"000000000X";"Southampton Row (Charlotte &amp; Thomas)";"Anne Perry";"0";"Ballantine";"http://x.org/4.jpg"\r\n'
)
BOOK_RATINGS = (
    '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"0195153448";"0"\r\n"276725";"3404148576";"5"\r\n'
    '"276726";"078946697X";"8"\r\n"276726";"9999999999";"3"\r\n"276726";"0195153448";"10"\r\n'
)
FILMS = "1::Toy Story (1995)::Animation|Children's|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n2::A; B::Drama\n"
ARTISTS = (
    "id\tname\turl\tpictureURL\n1\tMALICE MIZER\thttp://www.last.fm/1\thttp://img/1.jpg\n"
    '2\t"Weird Al" Yankovic\thttp://www.last.fm/2\t\n3\tSigur Rós\thttp://www.last.fm/3\t\n4\tthe "\thttp://www.last.fm/4\t\n'
    "5\t!!!\thttp://www.last.fm/5\t\n6\tNone\thttp://www.last.fm/6\t\n"
)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def plain(histories, catalogue):
    return {
        user: [catalogue.item_ids[item] for item in items]
        for user, items in zip(histories.user_ids, histories.items, strict=True)
    }


def load(data):
    catalogue = Catalogue.load(data.items, data)
    return catalogue, Histories.load(data.interactions, catalogue, data, data.minimum_rating)


@pytest.fixture(autouse=True)
def said(caplog):
    say_once.cache_clear()
    caplog.set_level(logging.WARNING)
    return lambda: caplog.messages


def test_book_crossing(tmp_path, said):
    """Semicolons, Latin-1, quotes escaped by backslashes, no time, ratings of books that are not in the table."""
    data = DataConfig(
        items=write(tmp_path / "BX-Books.csv", BOOKS, "latin-1"),
        interactions=write(tmp_path / "BX-Book-Ratings.csv", BOOK_RATINGS, "latin-1"),
        columns={"item_id": "ISBN", "title": "Book-Title", "user_id": "User-ID", "rating": "Book-Rating"},
    )
    catalogue = Catalogue.load(data.items, data)
    assert catalogue.item_ids == ("0195153448", "3404148576", "078946697X", "000000000X")
    assert [item.title for item in catalogue] == [
        "Classical Mythology",
        "Die Häupter; Roman",
        'Creating the "X-Men"; How It Began (Level 4)"',
        "Southampton Row (Charlotte & Thomas)",
    ]
    assert catalogue[1].attributes["Publisher"] == ("Diogenes & Söhne",)
    assert any("BX-Books.csv: read as cp1252, fields are separated by semicolons" in line for line in said())
    with pytest.raises(DataError, match="BX-Book-Ratings.csv, line 5: ISBN: unknown item id '9999999999'"):
        Histories.load(data.interactions, catalogue, data)
    dropping = data.model_copy(update={"on_error": "drop"})
    _, histories = load(dropping)
    assert plain(histories, catalogue) == {
        "276725": ["0195153448", "3404148576"],
        "276726": ["078946697X", "0195153448"],
    }
    assert histories.times is None
    listed = tmp_path / "BX-Book-Ratings.csv.dropped.jsonl"
    assert any(f"left out 1 of 5 rows (1 unknown-item); listed in {listed}" in line for line in said())
    assert any("no column 'timestamp' or 'position', so the order of the file is taken" in line for line in said())
    assert json.loads(listed.read_text()) == {
        "line": 5,
        "field": "ISBN",
        "kind": "unknown-item",
        "reason": "unknown item id '9999999999'",
        "values": {"User-ID": "276726", "ISBN": "9999999999", "Book-Rating": "3"},
    }
    assert (validate(data.items, data.interactions, data).ok, validate(data.items, data.interactions, dropping).ok) == (
        False,
        True,
    )


def test_last_fm(tmp_path, said):
    """Tabs, quotes that are part of names, the id called otherwise in each table, no time."""
    data = DataConfig(
        items=write(tmp_path / "artists.dat", ARTISTS),
        interactions=write(
            tmp_path / "user_artists.dat", "userID\tartistID\tweight\n2\t3\t13883\n2\t2\t11690\n3\t6\t9\n"
        ),
        columns={"item_id": "artistID", "title": "name", "user_id": "userID", "rating": "weight"},
        items_table={"columns": {"item_id": "id"}},
    )
    catalogue, histories = load(data)
    assert [item.title for item in catalogue] == [
        "MALICE MIZER",
        '"Weird Al" Yankovic',
        "Sigur Rós",
        'the "',
        "!!!",
        "None",
    ]
    assert plain(histories, catalogue) == {"2": ["3", "2"], "3": ["6"]}
    assert any("artists.dat: fields are separated by tabs" in line for line in said())
    turned = data.model_copy(
        update={
            "columns": data.columns.model_copy(update={"item_id": "id"}),
            "items_table": DataConfig().items_table,
            "interactions_table": DataConfig(
                interactions_table={"columns": {"item_id": "artistID"}}
            ).interactions_table,
        }
    )
    assert plain(load(turned)[1], catalogue) == {"2": ["3", "2"], "3": ["6"]}


def test_movielens_1m(tmp_path):
    """Double colons, Latin-1, no header."""
    data = DataConfig(
        items=write(tmp_path / "movies.dat", FILMS, "latin-1"),
        interactions=write(tmp_path / "ratings.dat", "1::73::5::978300760\n1::1::3::978300019\n"),
        items_table={"header": ["item_id", "title", "genres"]},
        interactions_table={"header": ["user_id", "item_id", "rating", "timestamp"]},
    )
    catalogue, histories = load(data)
    assert [item.title for item in catalogue] == ["Toy Story (1995)", "Misérables, Les (1995)", "A; B"]
    assert catalogue[0].attributes == {"genres": ("Animation", "Children's", "Comedy")}
    assert plain(histories, catalogue) == {"1": ["1", "73"]}
    assert histories.times[0].tolist() == [978300019, 978300760]


def test_movielens_100k(tmp_path):
    """Bars for items, tabs for ratings, no header in either; without the names the first line is called what it is."""
    row = "{}|{}|01-Jan-1995||http://us.imdb.com/M/title-exact?x%20(1995)|0|1\n"
    items = write(tmp_path / "u.item", row.format(1, "Toy Story (1995)") + row.format(2, "Misérables, Les"), "latin-1")
    ratings = write(tmp_path / "u.data", "196\t2\t3\t881250949\n196\t1\t3\t891717742\n")
    with pytest.raises(DataError, match=r"u.data: the first line is no header \(196, 2, 3, 881250949\)") as caught:
        Histories.load(
            ratings,
            Catalogue.load(items, DataConfig(items_table={"header": list("abcdefg")}, columns={"item_id": "a"})),
        )
    assert "interactions_table.header" in caught.value.hint
    with pytest.raises(DataError) as caught:
        Catalogue.load(items)
    assert "items_table.header" in caught.value.hint
    data = DataConfig(
        items=items,
        interactions=ratings,
        items_table={"header": ["item_id", "title", "released", "video", "url", "unknown", "action"]},
        interactions_table={"header": ["user_id", "item_id", "rating", "timestamp"]},
    )
    catalogue, histories = load(data)
    assert [item.title for item in catalogue] == ["Toy Story (1995)", "Misérables, Les"]
    assert plain(histories, catalogue) == {"196": ["2", "1"]}


def test_goodbooks(tmp_path):
    """Commas in quoted fields, ids and years as floats, an index column without a name, no time."""
    books = (
        ",book_id,title,authors,original_publication_year\n"
        '0,1,"The Hunger Games (The Hunger Games, #1)",Suzanne Collins,2008.0\n'
        '1,2,"Harry Potter ""1""","J.K. Rowling, Mary GrandPré",1997.0\n2,3,Twilight,Stephenie Meyer,\n'
    )
    data = DataConfig(
        items=write(tmp_path / "books.csv", books),
        interactions=write(tmp_path / "ratings.csv", "user_id,book_id,rating\n1.0,2.0,5\n1,1,4\n2,1,4\n"),
        columns={"item_id": "book_id"},
    )
    catalogue, histories = load(data)
    assert [item.title for item in catalogue] == [
        "The Hunger Games (The Hunger Games, #1)",
        'Harry Potter "1"',
        "Twilight",
    ]
    assert catalogue[1].attributes == {
        "authors": ("J.K. Rowling", "Mary GrandPré"),
        "original_publication_year": ("1997",),
    }
    assert plain(histories, catalogue) == {"1": ["2", "1"], "2": ["1"]}


def test_amazon_reviews(tmp_path):
    """JSON lines, packed; categories with commas stay whole, times in milliseconds."""
    meta = [{"parent_asin": "B0", "title": "Boots", "categories": ["Clothing, Shoes & Jewelry", "Men"]}]
    reviews = [{"user_id": "A", "parent_asin": "B0", "rating": 5.0, "timestamp": 1588687728923}]
    for name, rows in (("meta.jsonl.gz", meta), ("reviews.jsonl.gz", reviews)):
        (tmp_path / name).write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    data = DataConfig(
        items=str(tmp_path / "meta.jsonl.gz"),
        interactions=str(tmp_path / "reviews.jsonl.gz"),
        columns={"item_id": "parent_asin"},
    )
    catalogue, histories = load(data)
    assert catalogue[0].attributes["categories"] == ("Clothing, Shoes & Jewelry", "Men")
    assert histories.times[0].tolist() == [1588687728923]


def test_recbole(tmp_path):
    """Tabs, and the type behind each column's name."""
    data = DataConfig(
        items=write(
            tmp_path / "x.item", "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation\n"
        ),
        interactions=write(
            tmp_path / "x.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n9\t1\t3\t881250949.0\n"
        ),
        columns={"title": "movie_title"},
    )
    catalogue, histories = load(data)
    assert (catalogue[0].title, catalogue[0].attributes) == ("Toy Story", {"class": ("Animation",)})
    assert histories.times[0].tolist() == [881250949]


def test_dictionaries_that_python_printed(tmp_path):
    """The metadata of Amazon 2014 and Steam: single quotes, u'...', True and None."""
    line = "{'asin': 'B0', 'title': u'It\\'s', 'categories': [['Clothing, Shoes & Jewelry', 'Men']], 'price': None}\n"
    (tmp_path / "meta.json.gz").write_bytes(gzip.compress(line.encode()))
    catalogue = Catalogue.load(tmp_path / "meta.json.gz", DataConfig(columns={"item_id": "asin"}))
    assert (catalogue[0].title, catalogue[0].attributes) == (
        "It's",
        {"categories": ("Clothing, Shoes & Jewelry", "Men")},
    )


def test_check_ins_and_ratings_without_headers(tmp_path):
    """Gowalla: ISO times, the place last. Amazon's ratings alone: the first line of ids is no header."""
    items = write(tmp_path / "items.csv", "item_id,title\n22847,a\n420315,b\n")
    gowalla = "0\t2010-10-19T23:55:27Z\t30.2359\t-97.7951\t22847\n0\t2010-10-18T22:17:43Z\t30.2691\t-97.7493\t420315\n"
    data = DataConfig(
        items=items,
        interactions=write(tmp_path / "checkins.txt", gowalla),
        interactions_table={"header": ["user_id", "timestamp", "latitude", "longitude", "item_id"]},
    )
    catalogue, histories = load(data)
    assert plain(histories, catalogue) == {"0": ["420315", "22847"]}
    amazon = write(tmp_path / "ratings_Beauty.csv", "A39HTATAQ9V7YF,0205616461,5.0,1369699200\n")
    with pytest.raises(DataError) as caught:
        Histories.load(amazon, catalogue)
    assert "interactions_table.header" in caught.value.hint


def test_a_table_without_time_may_be_sets(tmp_path):
    rows = [(f"u{user}", item) for user in range(5) for item in range(20)]
    text = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item in rows)
    items = write(tmp_path / "items.csv", "item_id,title\n" + "".join(f"{item},T{item}\n" for item in range(20)))
    interactions = write(tmp_path / "interactions.csv", text)
    catalogue = Catalogue.load(items)
    in_order = Histories.load(interactions, catalogue)
    assert all(history.tolist() == list(range(20)) for history in in_order.items)
    sets = [Histories.load(interactions, catalogue, DataConfig(without_time="sets")) for _ in range(2)]
    assert all(sorted(history.tolist()) == list(range(20)) for history in sets[0].items)
    assert len({tuple(history.tolist()) for history in sets[0].items}) == 5
    assert [h.tolist() for h in sets[0].items] == [h.tolist() for h in sets[1].items]


def test_a_column_that_speaks_of_time_is_not_passed_over(tmp_path):
    items = write(tmp_path / "items.csv", "item_id,title\n1,a\n")
    interactions = write(tmp_path / "interactions.csv", "user_id,item_id,rated_date\nu,1,2020-01-01\n")
    catalogue = Catalogue.load(items)
    with pytest.raises(DataError, match="no column 'position' or 'timestamp'"):
        Histories.load(interactions, catalogue)
    with pytest.raises(DataError, match="no column 'when'"):
        Histories.load(interactions, catalogue, DataConfig(columns={"timestamp": "when"}))
    assert len(Histories.load(interactions, catalogue, DataConfig(without_time="file"))) == 1


def read(folder, text):
    (folder / "t.csv").write_text(text)
    items = Catalogue([Item("1", "A"), Item("2", "B"), Item("3", "C")])
    return [items.item_ids[i] for i in Histories.load(folder / "t.csv", items, minimum_rating=2).items[0]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('u,1,7,"1,000"', "may be thousands, or have three decimals"),
        ("u,1,03/04/2020,5", "write times as 2020-12-31"),
        ("u,1.23E+11,7,5", "has shortened a long number"),
    ],
)
def test_what_spreadsheets_write_is_read_rightly_or_refused(tmp_path, row, said):
    with pytest.raises(DataError) as error:
        read(tmp_path, f"user_id,item_id,timestamp,rating\n{row}\n")
    assert said in str(error.value)


def test_dots_between_thousands_are_doubted(tmp_path, caplog):
    say_once.cache_clear()
    read(tmp_path, "user_id;item_id;position;rating\nu;1;1.002;4,5\nu;2;1.001;3\nu;3;999;2\n")
    assert "'1.002' is read as a number with three decimals" in caplog.text
