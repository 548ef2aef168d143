"""LangChain's with_fallbacks over the three models, as its documentation shows it."""

from langchain_anthropic import ChatAnthropic

from tests.benchmarks.peers.common import Answer, Prompt, chain, with_threads

_MAX_TOKENS = 512  # of every prompt of these benchmarks


def main() -> None:
    """Answer all prompts with a pool of threads."""
    first, *others = (ChatAnthropic(model=model, max_tokens=_MAX_TOKENS) for model in chain())
    model = first.with_fallbacks(others)

    def ask(prompt: Prompt) -> Answer:
        message = model.invoke(prompt["text"])
        metadata = message.response_metadata
        return {"model": metadata["model_name"], "text": message.text, "stop_reason": metadata["stop_reason"]}

    with_threads(ask)


if __name__ == "__main__":
    main()
