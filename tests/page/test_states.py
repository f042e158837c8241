"""Each state of the page: axe finds no serious fault in it, light and dark, wide and narrow; and what explanations show."""

import base64
import io

import pytest
from PIL import Image

from tests.page.conftest import until
from tests.page.test_conversation import LIKES, titles, whole_list

SERIOUS = ("serious", "critical")


def png(width, height):
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 60).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def media_report(item_id, title):
    """Return what `kind: media` of /v1/explanations tells, as its contract says."""
    history = [{"item_id": i, "title": t, "effect": e} for (i, t), e in zip(LIKES, (1.2, -0.4), strict=True)]
    modality = {"stable": True}
    return {
        "item_id": item_id,
        "title": title,
        "score": -2.0,
        "rank": 1,
        "modalities": [
            {"name": "image", "effect": 0.9, "rank_without": 17, **modality},
            {"name": "text", "effect": 0.2, "rank_without": 1, "stable": False},
        ],
        "history": history,
        "picture": {
            "item_id": item_id,
            "grid": [3, 3],
            "values": [[0, 0, 0.5], [0, 0.1, 0], [0, 0, 0]],
            "effect": 0.9,
            "rank_without": 17,
            "png": png(120, 120),
            "unstable": True,
        },
        "sound": {
            "item_id": item_id,
            "seconds": 1.5,
            "windows": [{"start": 0, "end": 1, "value": 0.1}, {"start": 1, "end": 1.5, "value": 0.6}],
            "effect": 0.7,
            "rank_without": 4,
            "png": png(300, 60),
        },
        "method": {"regions": "exact Shapley", "orders": 0, "seed": 0, "evaluations": 512},
    }


def with_media_report(page):
    """Answer questions after media as the contract says; all others go to the server."""

    def answer(route):
        body = route.request.post_data_json
        if body["kind"] == "media":
            route.fulfill(json=media_report(body["item_id"], "Reported"))
        else:
            route.continue_()

    page.route("**/v1/explanations", answer)


def faults(page, themes=("light", "dark")):
    """Return the serious faults that axe finds, in these themes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = []
    for theme in themes:
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        violations = axe.Axe().run(page).response["violations"]
        found += [
            (theme, one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["any"][:1])
            for one in violations
            if one["impact"] in SERIOUS
        ]
    return found


@pytest.mark.parametrize("width", [1280, pytest.param(400, marks=pytest.mark.slow)])
def test_axe_finds_no_serious_fault_in_any_state(opened, width):
    tab = opened(viewport={"width": width, "height": 900})
    page = tab.goto()
    with_media_report(page)
    page.locator(".starter").first.wait_for()
    themes = ("light", "dark") if width == 1280 else ("light",)
    states = {"welcome": faults(page, themes)}
    if width == 400:
        page.locator("#likes summary").click()
    page.fill("#likes input[type=search]", "red")
    page.locator("#likes [role=option]").nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    states["search"] = faults(page, themes)
    page.keyboard.press("Enter")
    whole_list(page)
    page.locator(".claim").first.focus()
    states["list"] = faults(page, themes)
    page.locator("#parameters summary").click()
    page.locator("#parameters-body .part, #parameters-body .failure, #parameters-body p").first.wait_for()
    until(page, "!document.querySelector('#parameters-body[aria-busy]')")
    states["parameters"] = faults(page, themes)
    page.fill("#message", "a comedy of the 90s")
    page.locator("#message").press("Enter")
    page.locator(".answer:not(.waiting)").wait_for()
    whole_list(page, None)
    states["conversation"] = faults(page, themes)
    page.locator(".card").first.get_by_role("button", name="Why this").click()
    page.locator(".heat img").first.wait_for()
    states["why"] = faults(page, themes)
    page.keyboard.press("Escape")
    page.click("#why-not")
    states["why not"] = faults(page, themes)
    page.keyboard.press("Escape")
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json={"error": {"message": "no", "code": "key"}}))
    page.locator(".card").first.get_by_role("button", name="Like").click()
    page.locator("#key").wait_for()
    states["trouble"] = faults(page, themes)
    assert {state: found for state, found in states.items() if found} == {}


def test_why_shows_shares_a_heat_map_and_marked_seconds(opened):
    page = opened().goto(LIKES)
    with_media_report(page)
    whole_list(page)
    page.locator(".card").first.get_by_role("button", name="Why this").click()
    drawer = page.locator("#drawer")
    drawer.get_by_text("Without any pictures it would stand at place 17.").wait_for()
    assert drawer.get_by_text("Without this picture it would stand at place 17.").count() == 1
    assert drawer.get_by_text("Without any text it would stand where it stands.").count() == 1
    names = drawer.locator(".bar-name").all_text_contents()
    assert names == ["“The green night”", "“The yellow night”", "Picture", "Text"]
    words = drawer.locator(".bar-words").all_text_contents()
    assert words == ["3.3× more likely", "1.5× less likely", "2.5× more likely", "1.2× more likely, not certain"]
    widths = drawer.locator(".bar-fill").evaluate_all("bars => bars.map(bar => bar.style.width)")
    assert widths[0] == "100%" and widths[1] == "33%"
    assert "most counts what is at the top right" in drawer.locator(".heat img").first.get_attribute("alt")
    assert drawer.locator(".window.strongest").text_content() == "0:01.0 – 0:01.5"
    assert drawer.get_by_text("take it with care").count() == 1
    assert drawer.locator("dl dt").first.is_visible()


def test_what_if_tells_what_would_change(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    page.click("#what-if")
    page.locator("#drawer .check", has_text="The green night").click()
    answer = page.locator("#drawer [aria-live] p").first
    answer.wait_for()
    until(page, "!document.querySelector('#drawer .writing')")
    assert "The green night" in page.locator("#drawer [aria-live]").text_content()
    assert page.locator(".liked-title").count() == 2  # nothing was removed


def test_why_not_tells_the_place_of_what_is_not_listed(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    missing = page.evaluate(
        """async (listed) => {
          const all = (await (await fetch('/v1/items?limit=20')).json()).data;
          return all.map(item => item.title).find(title => /^The \\w+ \\w+$/.test(title) && !listed.includes(title));
        }""",
        [*titles(page), *(title for _, title in LIKES)],
    )
    page.click("#why-not")
    page.fill("#drawer input[type=search]", missing)
    page.locator("#drawer [role=option]").first.click()
    place = page.locator("#drawer .place strong")
    place.wait_for()
    assert int(place.text_content()) > 6 and missing in page.locator("#drawer .why-not").text_content()


def test_switches_change_the_list_and_say_so(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    before = titles(page)
    page.locator("#parameters summary").click()
    switch = page.get_by_role("switch", name="Without my history")
    switch.wait_for()
    with page.expect_request("**/v1/recommendations") as asked:
        switch.click()
    assert asked.value.post_data_json["without"] == ["history"]
    whole_list(page)
    assert "your history is switched off" in page.locator("#list-note").text_content()
    impersonal = titles(page)
    assert not set(impersonal) & {title for _, title in LIKES}  # what is known is still not shown
    part = page.locator("#parameters .part .switch").first
    part.wait_for()
    name = part.locator("input").get_attribute("id").removeprefix("part-")
    with page.expect_request("**/v1/recommendations") as asked:
        part.click()
    assert set(asked.value.post_data_json["without"]) == {"history", name}
    whole_list(page)
    page.reload()
    whole_list(page)
    page.locator("#parameters summary").click()
    page.get_by_role("switch", name="Without my history").click()
    page.locator(f"#part-{name}").click()
    until(page, "!document.querySelector('#list-note').textContent.includes('switched off')")
    whole_list(page)
    assert titles(page) == before


def test_what_was_understood_can_be_dropped_and_taken_back(opened):
    page = opened().goto()
    page.fill("#message", "a comedy from the 1990s")
    page.keyboard.press("Enter")
    whole_list(page, None)
    chips = page.locator("#chips .chip:not(.gone)")
    said = chips.all_text_contents()
    assert said
    first = chips.first.get_attribute("data-id")
    with page.expect_request("**/v1/chat/completions") as asked:
        chips.first.get_by_role("button").click()
    assert asked.value.post_data_json["dropped"] == [first] and len(asked.value.post_data_json["messages"]) <= 2
    gone = page.locator("#chips .gone")
    gone.wait_for()
    whole_list(page, None)
    assert chips.count() == len(said) - 1 and page.locator(".said").count() == 1
    gone.click()
    until(page, "!document.querySelector('#chips .gone')")
    until(page, "n => document.querySelectorAll('#chips .chip').length === n", len(said))
    page.get_by_role("button", name="New conversation").click()
    page.locator(".starter").first.wait_for()
    assert page.locator(".said").count() == 0
