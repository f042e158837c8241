"""The files of the page: what is sent with them, what they weigh, and that they name no other host."""

import gzip
import json
import re
import urllib.request

from recommender.server.page_files import FOLDER, squeezed
from tests.server.http_server import running

PICTURES = (".svg",)


def sent(server, path, **headers):
    """Return status, headers and bytes of an answer."""
    with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers), timeout=60) as answer:
        return answer.status, answer.headers, answer.read()


def test_the_page_is_served_with_what_keeps_it_safe(embedded_server):
    status, headers, body = sent(embedded_server, "/")
    assert status == 200 and headers["Content-Type"].startswith("text/html") and b"<main" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert embedded_server.get("/page/app.js")[1]["Content-Type"].startswith("text/javascript")
    assert embedded_server.get("/page/nothing.js")[0] == 404 and embedded_server.get("/page/..%2fapp.py")[0] == 404


def test_a_browser_that_has_a_file_is_sent_nothing_and_others_get_it_zipped(embedded_server):
    _, headers, plain = sent(embedded_server, "/page/page.css")
    assert embedded_server.get("/page/page.css", **{"If-None-Match": headers["ETag"]})[0] == 304
    _, headers, zipped = sent(embedded_server, "/page/page.css", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip" and headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(zipped) == plain and len(zipped) < len(plain) / 2


def test_every_file_that_a_file_names_is_there_and_none_names_another_host():
    names = {path.name for path in FOLDER.iterdir()} | {"about.json"}
    for path in FOLDER.iterdir():
        source = path.read_text()
        assert set(re.findall(r'(?:"page/|from "\./)([\w.]+)"', source)) <= names
        assert set(re.findall(r"https?://[^\s\"']*", source)) <= {"http://www.w3.org/2000/svg"}
        assert "innerHTML" not in source and "insertAdjacentHTML" not in source and "eval(" not in source


def test_all_of_it_weighs_less_than_100_kb():
    sizes = {path.name: len(squeezed(path.name, path.read_text()).encode()) for path in FOLDER.iterdir()}
    assert sum(sizes.values()) < 100_000, sizes


def test_the_page_says_that_a_machine_answers():
    assert "A machine answers" in (FOLDER / "index.html").read_text()


def test_what_is_left_out_is_no_code():
    source = '// words\nconst a = "// no comment"; // gone\n  /** told */\n\n    f(`a: b`);\n'
    assert squeezed("x.js", source) == 'const a = "// no comment";\nf(`a: b`);\n'
    source = "if (a === b && c) d = { e: \"f = g, 'h\", i: 'j => k' };\nreturn / = /.test(l) ? m : n;\n"
    short = "if(a===b&&c)d={e:\"f = g, 'h\",i:'j => k'};\nreturn / = /.test(l) ? m : n;\n"
    assert squeezed("x.js", source) == short
    assert squeezed("x.css", "a:hover { color: red; margin: 0 1px; }\n") == "a:hover{color:red;margin:0 1px}\n"
    assert squeezed("x.svg", "<a> </a>") == "<a> </a>"


def test_the_page_is_told_what_the_model_and_its_limits_are(embedded):
    with running(embedded, message_chars=123) as server:
        about = json.loads(server.get("/page/about.json")[2])
    assert about["noun"] == {"one": "film", "many": "films"} and about["items"] == 20 and about["model"] == "tiny"
    assert about["limits"]["message_chars"] == 123 and about["keeps_feedback"] is False
