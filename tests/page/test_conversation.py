"""The page as people use it: say something, see the list, say what they think of it; by mouse, keyboard and phone."""

import json
import re

import soundfile

from tests.media_files import picture, sound
from tests.page.conftest import MARQUEE, RTL, SCRIPT, until

LIKES = (("106", "The green night"), ("107", "The yellow night"))


def titles(page):
    return page.locator("#cards .title").all_text_contents()


def whole_list(page, cards=6):
    """Wait for a list of which every reason has come; `cards`: how many, None for any number."""
    until(
        page,
        """n => {
          const cards = document.querySelectorAll('#cards .card').length;
          const reasons = document.querySelectorAll('#cards .reason:not(.old) .justification').length;
          return cards === (n ?? (cards || 1)) && reasons === cards && !document.querySelector('#cards[aria-busy]');
        }""",
        cards,
    )


def test_a_conversation_names_films_with_checked_reasons(opened):
    page = opened().goto()
    page.fill("#message", "Something like The red night, a comedy")
    page.keyboard.press("Enter")
    whole_list(page)
    assert page.locator(".said").text_content().endswith("Something like The red night, a comedy")
    assert page.locator(".answer p").count() >= 1 and page.input_value("#message") == ""
    claim = page.locator("#cards .claim").first
    claim.focus()
    evidence = page.locator("#evidence")
    assert evidence.is_visible() and "films" in evidence.text_content()
    assert claim.get_attribute("aria-describedby") == "evidence"
    page.keyboard.press("Escape")
    assert evidence.is_hidden()


def test_the_list_follows_what_is_liked_and_is_kept(opened):
    tab = opened()
    page = tab.goto()
    page.locator(".starter").first.wait_for()
    page.fill("#likes input[type=search]", "gren nigt")  # two typing errors
    page.locator("#likes [role=option]").first.click()
    whole_list(page)
    assert page.locator(".liked-title").all_text_contents() == ["The green night"]
    before = titles(page)
    page.fill("#likes input[type=search]", "yellow")
    page.locator("#likes [role=option]").first.wait_for()
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.liked-title').length === 2")
    whole_list(page)
    page.reload()
    whole_list(page)
    assert page.locator(".liked-title").count() == 2 and not set(titles(page)) & {"The green night"}
    page.locator(".liked button").first.click()
    until(page, "document.querySelectorAll('.liked-title').length === 1")
    whole_list(page)
    assert titles(page) == before
    page.click("#forget")
    page.locator(".starter").first.wait_for()
    assert page.locator("#list").is_hidden() and "green" not in page.evaluate("JSON.stringify(localStorage)")


def test_an_opinion_is_kept_and_seen_at_once(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    first, *others = titles(page)
    with page.expect_response("**/v1/feedback") as told:
        page.locator(".card", has_text=first).get_by_role("button", name="Not for me").click()
    assert told.value.json()["opinion"] == "not for me" and told.value.request.post_data_json["user"].startswith(
        "page-"
    )
    until(
        page, "title => ![...document.querySelectorAll('#cards .title')].some(t => t.textContent === title)", arg=first
    )
    whole_list(page)
    assert titles(page)[:5] == others  # the list is filled up again
    page.reload()
    whole_list(page)
    assert first not in titles(page)
    helpful = page.locator(".card").first.get_by_role("button", name="Helpful")
    helpful.click()
    until(page, "document.querySelector('.card-tools [aria-pressed=true]')")
    assert page.locator(".notice").first.text_content().startswith("Thank you")


def test_a_picture_and_a_sound_go_with_a_message(opened, tmp_path):
    picture(3).resize((1600, 1200)).save(tmp_path / "photo.jpg")
    soundfile.write(tmp_path / "hum.flac", sound(2.0), 44_100)
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    page.set_input_files("#picture-file", tmp_path / "photo.jpg")
    page.locator(".attachment img").wait_for()
    with page.expect_request("**/v1/chat/completions") as asked:
        page.keyboard.press("Enter")  # the focus went to the message
    whole_list(page)
    (part,) = asked.value.post_data_json["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/jpeg;base64,") and len(part["image_url"]["url"]) < 2_000_000
    page.set_input_files("#sound-file", tmp_path / "hum.flac")
    page.locator(".attachment .player").wait_for()
    with page.expect_request("**/v1/chat/completions") as asked:
        page.get_by_role("button", name="Send").click()
    earlier, _, last = asked.value.post_data_json["messages"]
    assert last["content"][0]["input_audio"]["format"] == "wav"
    assert len(earlier["content"][0]["image_url"]["url"]) < 6_000  # it has had its effect
    until(page, "document.querySelectorAll('.answer:not(.waiting)').length === 2")
    assert page.locator(".failure").count() == 0  # of a hum nothing is understood, which is a sentence


def test_what_is_spoken_becomes_a_sound(opened):
    page = opened(permissions=["microphone"]).goto()
    page.click("#speak")
    page.locator("#speak[aria-pressed=true]").wait_for()
    page.wait_for_timeout(700)
    page.click("#speak")
    page.locator(".attachment .player").wait_for()
    assert page.locator("#speak[aria-pressed=false]").count() == 1 and page.locator("#recording").text_content() == ""


def test_a_picture_is_dropped(opened):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 50, height: 40 });
          canvas.getContext("2d").fillRect(5, 5, 20, 20);
          const blob = await new Promise((done) => canvas.toBlob(done));
          const data = new DataTransfer();
          data.items.add(new File([blob], "dropped.png", { type: "image/png" }));
          for (const name of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    page.locator(".attachment img").wait_for()
    assert page.locator("#drop").is_hidden()
    page.get_by_role("button", name="Take the picture away").click()
    assert page.locator(".attachment").count() == 0


def test_the_keyboard_is_enough(opened):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    keys, focused = (
        page.keyboard,
        lambda: page.evaluate("document.activeElement.id || document.activeElement.className"),
    )
    keys.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the conversation"
    keys.press("Enter")
    assert focused() == "message"
    keys.type("a comedy")
    keys.press("Enter")
    whole_list(page)
    page.locator("#list-title").focus()
    for _ in range(12):
        keys.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('claim')"):
            break
    assert page.locator("#evidence").is_visible()
    at = page.evaluate("document.activeElement.textContent")
    keys.press("ArrowRight")  # one card is one stop of Tab; the arrows go from claim to claim
    assert page.evaluate("document.activeElement.className") == "claim"
    assert page.locator(".claim").count() < 2 or page.evaluate("document.activeElement.textContent") != at
    keys.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Why this"
    keys.press("Enter")
    page.locator("#drawer[open]").wait_for()
    assert focused() == "drawer-title"
    keys.press("Escape")
    until(page, "document.activeElement.textContent === 'Why this'")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_phone_of_400_pixels_needs_no_scrolling_sideways(opened):
    page = opened(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True).goto(LIKES)
    whole_list(page)
    page.locator(".claim").first.tap()
    page.locator("#evidence").wait_for()
    box = page.locator("#evidence").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 400
    for state in ("page", "panel", "drawer"):
        if state == "panel":
            page.locator("#likes summary").tap()
            page.fill("#likes input[type=search]", "red")
            page.locator("#likes [role=option]").first.wait_for()
        if state == "drawer":
            page.keyboard.press("Escape")
            page.locator(".card").first.get_by_role("button", name="Why this").tap()
            page.locator("#drawer[open]").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, state
    assert page.evaluate("document.querySelector('#drawer').scrollWidth") <= 400


def test_markup_in_titles_and_messages_stays_text_and_arabic_reads_from_the_right(opened):
    page = opened().goto()

    def as_script(route):  # as if the catalogue said so, whatever the cleaning of tables leaves of it
        text = route.fetch().text()
        route.fulfill(body=text.replace("The green day", json.dumps(SCRIPT)[1:-1]), content_type="application/json")

    page.route("**/v1/items*", as_script)
    page.fill("#message", f"I liked {SCRIPT}")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.answer:not(.waiting)')")
    assert SCRIPT in page.locator(".said").text_content() and page.locator(".said img, .said script").count() == 0
    for words, title, direction in (("marquee", MARQUEE, "ltr"), ("green day", SCRIPT, "ltr"), (RTL, RTL, "rtl")):
        page.fill("#likes input[type=search]", words)
        page.locator("#likes [role=option]", has_text=title).first.click()
        liked = page.locator(".liked-title", has_text=title)
        liked.wait_for()
        assert liked.evaluate("e => getComputedStyle(e).direction") == direction
        assert liked.evaluate("e => e.children.length") == 0
    assert page.title() == "recommender"
    assert page.evaluate("document.body.querySelectorAll('script, marquee, [onerror], [onstart]').length") == 0


def test_dark_follows_the_system_and_the_switch(opened):
    tab = opened(color_scheme="dark")
    page = tab.goto(LIKES)
    whole_list(page)
    ground = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    assert ground() == "rgb(19, 20, 22)" and page.locator("#theme[aria-pressed=true]").count() == 1
    page.click("#theme")
    assert ground() == "rgb(246, 245, 241)"
    page.reload()
    assert ground() == "rgb(246, 245, 241)"  # kept


def test_items_without_pictures_are_drawn_and_with_sounds_played(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    page.locator("#more").click()
    whole_list(page, 12)
    page.locator("#more").click()
    whole_list(page, 18)
    page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    until(page, "document.querySelectorAll('#cards .poster.has-picture').length >= 8")
    drawn = page.locator("#cards .poster:not(:has(img)) .drawn")
    assert drawn.count() >= 8 and all(re.fullmatch(r"\S{1,3}", text) for text in drawn.all_text_contents())
    play = page.locator("#cards .player button").first
    play.click()
    until(page, "document.querySelector('#cards .player .time').textContent.includes('0:01')")


def test_the_page_names_the_noun_of_the_catalogue(opened):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    assert page.locator("#welcome-title").text_content() == "Which film would you like?"
    assert page.locator("#likes input").get_attribute("placeholder") == "Search films"
    about = json.loads(page.request.get(f"{page.url}page/about.json").text())
    assert about["noun"] == {"one": "film", "many": "films"} and about["sees"] and about["hears"]


def test_a_claim_tells_what_it_was_checked_against(opened):
    page = opened().goto(LIKES)
    claims = [
        {"kind": "title", "text": "The 🎬 day", "true": True, "start": 4, "end": 13, "items": ["106"], "fact": None},
        {"kind": "genres", "text": "comedy", "true": True, "start": 18, "end": 24, "items": ["108"]}
        | {"fact": {"name": "genres", "value": "Comedy"}},
        {"kind": "form", "text": "", "true": True, "start": None, "end": None, "items": [], "fact": None},
    ]
    influences = [{"item_id": "106", "title": "The 🎬 day", "effect": 1.5}]
    evidence = {"influences": influences, "companions": [{"item_id": "106", "people": 7}], "claims": claims}
    item = {"rank": 1, "item_id": "108", "title": "The red day", "score": -1, "written_by": "model"}
    item |= {"justification": "As “The 🎬 day”, a comedy.", "evidence": evidence}
    stream = "".join(
        f"event: {name}\ndata: {json.dumps(data)}\n\n"
        for name, data in (("items", {"items": [item], "notes": []}), ("justification", item), ("done", {}))
    )
    page.route("**/v1/recommendations", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
    page.locator(".liked button").first.click()
    whole_list(page, 1)
    marked, told = page.locator(".claim"), page.locator("#evidence")
    assert marked.all_text_contents() == ["The 🎬 day", "comedy"]  # places are counted in characters
    marked.first.hover()
    assert "would be 4 times less likely." in told.text_content() and "7 people have both." in told.text_content()
    marked.nth(1).click()
    assert "Genres: Comedy" in told.text_content() and "of “The red day”" in told.text_content()
