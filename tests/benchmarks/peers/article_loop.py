"""The article's loop: the models in order, the next one after any API error, on the SDK as it comes."""

from anthropic import Anthropic, APIError
from anthropic.types import TextBlock

from tests.benchmarks.peers.common import Answer, Prompt, chain, with_threads


def main() -> None:
    """Answer all prompts with one client and a pool of threads."""
    client, models = Anthropic(), chain()

    def call_with_fallback(prompt: Prompt) -> Answer:
        last: APIError | None = None
        for model in models:
            try:
                message = client.messages.create(
                    model=model,
                    max_tokens=prompt["max_tokens"],
                    messages=[{"role": "user", "content": prompt["text"]}],
                )
            except APIError as error:
                last = error
                continue
            text = "".join(block.text for block in message.content if isinstance(block, TextBlock))
            return {"model": model, "text": text, "stop_reason": message.stop_reason}
        raise RuntimeError("the chain is exhausted") from last

    with_threads(call_with_fallback)


if __name__ == "__main__":
    main()
