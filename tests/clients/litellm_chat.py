"""LiteLLM as a client, in OpenAI's shape: a message, and a streamed one."""

import sys

import litellm


def main(model: str, prompt: str) -> None:
    """Print both answers."""
    asked = {"model": f"anthropic/{model}", "messages": [{"role": "user", "content": prompt}], "temperature": 0.2}
    sys.stdout.write(f"{litellm.completion(**asked).choices[0].message.content}\n")
    parts = litellm.completion(**asked, stream=True)
    sys.stdout.write("".join(part.choices[0].delta.content or "" for part in parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
