"""Chat with a served model through the `openai` client, which works unchanged.

Start a server first: `recommender serve movielens-100k --port 8000`. Then run `python examples/chat_with_openai_client.py`.
The client sends the whole conversation each time, because the server keeps no state.
"""

from __future__ import annotations

import argparse

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

MESSAGES = ("I loved Alien and Blade Runner", "no horror, nothing before 1980, only 3", "why the second one?")


def main(base_url: str, messages: tuple[str, ...] = MESSAGES) -> None:
    """Say the messages one after the other and print the answers, then stream one more."""
    client = OpenAI(base_url=base_url, api_key="none")  # the server asks for no key
    model = client.models.list().data[0].id
    conversation: list[ChatCompletionMessageParam] = []
    for text in messages:
        conversation.append({"role": "user", "content": text})
        answer = client.chat.completions.create(model=model, messages=conversation)
        reply = answer.choices[0].message.content or ""
        conversation.append({"role": "assistant", "content": reply})
        print(f"you> {text}\n{reply}\n")
        # beside the text, the answer carries the items as data
        for item in (answer.model_extra or {}).get("recommendations", ()):
            print(f"  item {item['item_id']}: {item['title']}")

    print("you> a comedy, only 2")
    question: ChatCompletionMessageParam = {"role": "user", "content": "a comedy, only 2"}
    for chunk in client.chat.completions.create(model=model, messages=[question], stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://localhost:8000/v1", help="where the server is")
    main(parser.parse_args().base_url)
