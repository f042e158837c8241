"""The page before a joined catalogue: a switch for films, products or both, and what an item is stands under its title."""

import pytest

from recommender.engine import Recommender
from tests.joined import joined_checkpoint, letters
from tests.page.conftest import until
from tests.page.test_conversation import whole_list
from tests.page.test_states import faults
from tests.server.http_server import running

#: a film and a product
LIKES = (("103", "The yellow story"), ("115", "The yellow river"))


@pytest.fixture(scope="module")
def joined(catalogue, features, tmp_path_factory):
    checkpoint = joined_checkpoint(tmp_path_factory.mktemp("joined"), catalogue, features)
    checkpoint.config = checkpoint.config.updated({"encoders.image": None, "encoders.audio": None})
    with running(Recommender(checkpoint)) as served:
        yield f"{served.url}/"


def listed(page):
    whole_list(page)
    return letters(page.evaluate("[...document.querySelectorAll('#cards .card')].map(card => card.dataset.id)"))


def chosen(page):
    return page.locator("#domains input:checked").locator("..").text_content()


def choose(page, words, path):
    """Press a choice, and return what the page then asks."""
    with page.expect_request(f"**{path}") as asked:
        page.locator("#domains label", has_text=words).click()
    return asked.value.post_data_json


@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_is_of_what_is_chosen(opened, joined, width):
    page = opened(joined, viewport={"width": width, "height": 844}).goto(LIKES)
    assert listed(page) == "fpfpfp" and chosen(page) == "Both"
    assert choose(page, "Products", "/v1/recommendations")["domains"] == ["products"]
    until(page, "![...document.querySelectorAll('#cards .card')].some(card => Number(card.dataset.id) < 110)")
    assert listed(page) == "pppppp"
    page.reload()
    assert listed(page) == "pppppp" and chosen(page) == "Products"
    page.locator("#domains input:checked").focus()
    page.keyboard.press("ArrowLeft")  # as in any group of radio buttons
    until(page, "![...document.querySelectorAll('#cards .card')].some(card => Number(card.dataset.id) >= 110)")
    assert listed(page) == "ffffff" and chosen(page) == "Films"
    assert page.get_by_role("group", name="What the list is of").get_by_role("radio").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and faults(page) == []
    page.evaluate("document.querySelector('#likes').open = true")
    page.click("#forget")
    until(page, "document.querySelector('#domains input:checked').value === ''")


def test_a_conversation_and_questions_about_its_list_follow_the_switch(opened, joined):
    page = opened(joined).goto(LIKES)
    listed(page)
    choose(page, "Films", "/v1/recommendations")
    page.fill("#message", "What next?")
    with page.expect_request("**/v1/chat/completions") as asked:
        page.keyboard.press("Enter")
    assert asked.value.post_data_json["domains"] == ["films"] and listed(page) == "ffffff"
    assert choose(page, "Both", "/v1/chat/completions")["domains"] == ["films", "products"]
    until(page, "[...document.querySelectorAll('#cards .card')].some(card => Number(card.dataset.id) >= 110)")
    assert listed(page) == "fpfpfp"
    page.click("#what-if")
    with page.expect_response("**/v1/explanations") as told:
        page.locator("#drawer label", has_text="The yellow story").click()
    answer = told.value.json()
    assert told.value.request.post_data_json["domains"] == ["films", "products"]
    assert letters(item["item_id"] for item in answer["before"]) == "fpfpfp"
    assert letters(item["item_id"] for item in answer["after"]) == "fpfpfp"


def offered(page):
    page.locator(".starter").first.wait_for()
    return letters(page.evaluate("[...document.querySelectorAll('.starter')].map(one => one.dataset.id)"))


def suggested(page, text):
    """Return a letter for each item that the field of what is liked finds."""
    with page.expect_response("**/v1/items?*search=*") as told:
        page.fill("#likes input[type=search]", text)
    found = told.value.json()["data"]
    until(page, "n => document.querySelectorAll('#likes [role=option]').length === n", len(found))
    return letters(item["item_id"] for item in found)


def test_what_one_may_begin_with_follows_the_switch(opened, joined):
    page = opened(joined).goto()
    assert set(offered(page)) == {"f", "p"} and page.locator(".starter").count() == 12
    for words, letter, other in (("Products", "p", "f"), ("Films", "f", "p")):
        with page.expect_request("**/v1/items?*") as asked:
            page.locator("#domains label", has_text=words).click()
        assert f"domain={words.lower()}" in asked.value.url
        until(page, "words => document.querySelector('.starters-title')?.textContent.includes(words)", words.lower())
        assert offered(page) == letter * 10 and other not in offered(page)
        assert f"Out of 10 {words.lower()};" in page.locator("#starters").text_content()
    page.reload()
    assert offered(page) == "f" * 10
    first = page.locator(".starter").first
    first.click()
    listed(page)
    page.locator("#likes .liked button").first.click()
    until(page, "!document.querySelector('#welcome').hidden")
    assert first.get_attribute("aria-pressed") == "false" and offered(page) == "f" * 10
    page.evaluate("document.querySelector('#likes').open = true")
    page.click("#forget")
    until(page, "document.querySelectorAll('.starter').length === 12")


def test_starters_of_an_answer_that_comes_too_late_are_not_shown(opened, joined):
    page = opened(joined).goto()
    offered(page)
    held = []
    page.route("**/v1/items?*domain=products*", lambda route: held.append(route))
    page.locator("#domains label", has_text="Products").click()
    until(page, "!document.querySelector('.starter')")
    page.locator("#domains label", has_text="Films").click()
    assert offered(page) == "f" * 10
    with page.expect_response("**/v1/items?*domain=products*"):
        held[0].continue_()
    page.wait_for_timeout(200)
    assert offered(page) == "f" * 10


def test_search_follows_the_switch(opened, joined):
    page = opened(joined).goto(LIKES)
    listed(page)
    field = page.locator("#likes input[type=search]")
    assert field.get_attribute("placeholder") == "Search films and products"
    assert set(suggested(page, "yellow")) == {"f", "p"}
    choose(page, "Films", "/v1/recommendations")
    assert page.locator("#likes .found").is_hidden()
    assert page.get_by_role("combobox", name="Search films").count() == 1
    assert set(suggested(page, "yellow s")) == {"f"}
    suggested(page, "yellow river")  # is a product
    page.locator("#likes .search-note").wait_for()
    assert page.locator("#likes .search-note").text_content() == "No film is called so."
    choose(page, "Products", "/v1/recommendations")
    assert set(suggested(page, "yellow")) == {"p"}
    listed(page)
    page.click("#why-not")
    page.locator("#drawer input[type=search]").wait_for()
    assert page.get_by_role("combobox", name="Which product?").count() == 1
    with page.expect_request("**/v1/items?*search=*") as asked:
        page.fill("#drawer input[type=search]", "red")
    assert "domain=products" in asked.value.url


def test_parts_are_measured_for_the_list_that_is_chosen(opened, joined):
    page = opened(joined).goto(LIKES)
    listed(page)
    with page.expect_request("**/v1/parameters*") as asked:
        page.locator("#parameters summary").click()
    assert "domains=films,products" in asked.value.url and "history=103,115" in asked.value.url
    page.locator("#parameters .part").first.wait_for()
    with page.expect_response("**/v1/parameters*") as told:
        choose(page, "Films", "/v1/recommendations")
    assert "domains=films" in told.value.url and "products" not in told.value.url and told.value.ok
    assert page.locator("#parameters .part-title", has_text="Catalogues").count() == 1


def test_what_an_item_is_at_all_stands_first_under_its_title(opened, joined):
    page = opened(joined).goto(LIKES)
    listed(page)
    page.locator("#cards .byline li").first.wait_for()
    assert page.locator("#cards .byline li:first-child").all_text_contents() == ["films", "products"] * 3
    page.fill("#likes input[type=search]", "red story")
    page.locator("#likes [role=option]").first.wait_for()
    assert page.locator("#likes [role=option] .muted").first.text_content().startswith("films · ")


def test_only_what_the_model_can_do_is_offered(opened, joined, server):
    page = opened(joined).goto()
    page.locator(".starter").first.wait_for()
    assert page.locator("#welcome-title").text_content() == "Which film or product would you like?"
    can = "Every reason is checked before you see it."
    assert page.locator("#welcome-ways").text_content() == f"Say it in your own words. {can}"
    assert page.locator("#add-picture").is_hidden() and page.locator("#speak").is_hidden()
    page = opened(server).goto()  # of a model that sees and hears, and of one catalogue
    page.locator(".starter").first.wait_for()
    assert page.locator("#welcome-ways").text_content() == f"Say it in your own words, drop a picture, or speak. {can}"
    assert page.locator("#domains").is_hidden()
