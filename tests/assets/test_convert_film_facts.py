"""Film facts: one row a film, names as people write them."""

import json
import sqlite3
from contextlib import closing

from recommender.assets import convert_film_facts


def test_a_film_is_written_once_with_lists_of_whole_names(tmp_path):
    columns = "ID, imdbID, Title, Year, Rating, Genre, Director, Writer, Cast, Language, Country, Oscars"
    with closing(sqlite3.connect(tmp_path / "movies.db")) as database:
        database.execute(f"CREATE TABLE omdb ({columns.replace('Cast', '[Cast]')})")
        row = (1, "tt1", "Chaplin", 1992, "PG-13", "Biography, Drama", "Richard Attenborough", None)
        rest = ("Geraldine Chaplin, Robert Downey, Jr., Dan Aykroyd", "English", "United Kingdom, France", 2)
        for number in (1, 2):
            database.execute(f"INSERT INTO omdb VALUES ({','.join('?' * 12)})", (number, *row[1:], *rest))
        database.commit()
    (tmp_path / "out").mkdir()
    convert_film_facts.convert(tmp_path, tmp_path / "out")
    (line,) = (tmp_path / "out" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "item_id": "tt1",
        "title": "Chaplin",
        "year": "1992",
        "genres": ["Biography", "Drama"],
        "director": ["Richard Attenborough"],
        "writer": [],
        "cast": ["Geraldine Chaplin", "Robert Downey Jr.", "Dan Aykroyd"],
        "language": ["English"],
        "country": ["United Kingdom", "France"],
        "age_rating": "PG-13",
        "award": ["Oscar"],
    }
