"""What goes wrong is a sentence on the page, and nothing that was typed is lost."""

import pytest

from tests.page.conftest import answered, until
from tests.page.test_conversation import LIKES, whole_list


def test_a_server_that_goes_and_comes_back_is_reached_again(opened, door):
    page = opened(door.url).goto(LIKES)
    whole_list(page)
    page.fill("#message", "a comedy with a river")
    door.shut()
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="The server does not answer. Trying to reach it again").wait_for()
    page.fill("#message", "and a draft")
    door.open()
    page.get_by_text("The server is back.").wait_for()
    whole_list(page)
    assert page.locator(".said").count() == 1 and page.input_value("#message") == "and a draft"
    page.reload()
    assert page.input_value("#message") == "and a draft"


@pytest.mark.parametrize(("said", "cut"), [("a comedy", b'"delta": {"content"'), (None, b"event: justification")])
def test_a_stream_that_dies_half_way_is_a_sentence_and_can_be_tried_again(opened, door, said, cut):
    page = opened(door.url).goto(LIKES)
    whole_list(page)
    door.cut_at = cut
    if said:
        page.fill("#message", said)
        page.keyboard.press("Enter")
    else:
        page.locator(".liked button").first.click()
    broken = page.locator(".failure", has_text="The answer broke off before its end.")
    broken.wait_for()
    assert page.locator("#cards .card").count() == 6  # the list had come before
    broken.get_by_role("button", name="Try again").click()
    broken.wait_for(state="detached")
    whole_list(page)
    assert page.locator(".said").count() == (1 if said else 0)


def test_a_file_of_300_mb_is_refused_before_it_is_read(opened, tmp_path):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(300_000_000)
    page.evaluate("() => { for (const name of ['arrayBuffer', 'stream', 'slice']) Blob.prototype[name] = undefined }")
    page.set_input_files("#picture-file", tmp_path / "large.png")
    page.get_by_role("alert").filter(has_text="“large.png” has 300 MB").wait_for()
    page.evaluate(
        """() => {
          const file = new File(["x"], "dropped.wav", { type: "audio/wav" });
          Object.defineProperty(file, "size", { value: 300e6 });
          const drop = new Event("drop", { cancelable: true });
          drop.dataTransfer = { types: ["Files"], files: [file] };
          dispatchEvent(drop);
        }"""
    )
    page.get_by_role("alert").filter(has_text="“dropped.wav” has 300 MB").wait_for()
    assert page.locator(".attachment").count() == 0


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("picture", "holiday.png", "“holiday.png” is no picture that can be read"),
        ("sound", "song.mp3", "“song.mp3” is no sound that can be read"),
        ("picture", "notes.txt", "“notes.txt” is neither a picture nor a sound"),
    ],
)
def test_what_is_no_picture_and_no_sound_is_a_sentence(opened, tmp_path, kind, name, sentence):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    (tmp_path / name).write_text("<script>neither</script>" * 9)
    page.fill("#message", "a draft")
    page.set_input_files(f"#{kind}-file", tmp_path / name)
    page.get_by_role("alert").filter(has_text=sentence).wait_for()
    assert page.locator(".attachment").count() == 0 and page.input_value("#message") == "a draft"


def test_an_expired_key_is_asked_for_kept_for_the_tab_and_sent(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    error = {"message": "no", "type": "invalid_request_error", "param": None, "code": "no_key"}
    refuse = lambda route: (  # noqa: E731
        route.continue_()
        if route.request.headers.get("authorization") == "Bearer right"
        else route.fulfill(status=401, json={"error": error})
    )
    page.route("**/v1/**", refuse)
    page.locator(".liked button").first.click()
    page.get_by_role("alert").filter(has_text="This server asks for a key.").first.wait_for()
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text="The key has expired").first.wait_for()
    page.fill("#key", "right")
    page.keyboard.press("Enter")
    whole_list(page)
    page.reload()
    whole_list(page)
    until(page, "[...document.images].some(image => image.src.startsWith('blob:'))")  # pictures too
    assert "right" not in page.evaluate("JSON.stringify(localStorage)")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(opened, status):
    page = opened().goto(LIKES)
    whole_list(page)
    with answered(page, "/v1/recommendations", status, "the server is busy", headers={"Retry-After": "1"}):
        page.locator(".liked button").first.click()
        page.get_by_text("The server is busy. Trying again in 1 second.").wait_for()
        until(page, "document.querySelectorAll('.liked-title').length === 1")
        whole_list(page)
    assert page.locator(".failure").count() == 0


def test_a_message_that_is_refused_goes_back_to_be_changed(opened):
    page = opened().goto()
    page.locator(".starter").first.wait_for()
    page.fill("#message", "something long")
    with answered(page, "/v1/chat/completions", 400, "messages: more than 20,000 characters"):
        page.keyboard.press("Enter")
        page.get_by_role("alert").filter(has_text="Messages: more than 20,000 characters.").wait_for()
    assert page.input_value("#message") == "something long" and page.locator(".said").count() == 0
    page.keyboard.press("Enter")
    whole_list(page)


def test_where_no_feedback_is_kept_the_item_goes_all_the_same(opened):
    page = opened().goto(LIKES)
    whole_list(page)
    title = page.locator("#cards .title").first.text_content()
    error = {"message": "keeps none", "type": "invalid_request_error", "param": None, "code": "no_feedback"}
    page.route("**/v1/feedback", lambda route: route.fulfill(status=409, json={"error": error}))
    page.locator(".card").first.get_by_role("button", name="Not for me").click()
    page.get_by_text("Taken off this list. This server keeps no feedback.").wait_for()
    until(page, "t => document.querySelector('#cards .title').textContent !== t", arg=title)
