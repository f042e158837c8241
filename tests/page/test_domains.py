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
