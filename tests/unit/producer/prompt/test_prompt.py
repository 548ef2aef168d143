"""A prompt, and the request it makes."""

import subprocess
import sys

from producer.prompt.prompt import DEFAULT_MAX_TOKENS, Prompt


def test_a_text_is_one_message_of_the_user() -> None:
    assert Prompt("Why?").request() == {
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": "Why?"}],
    }


def test_its_system_text_and_its_limit_go_with_it() -> None:
    request = Prompt("Why?", system="Be brief.", max_tokens=9, columns={"n": "1"}, id="a", task="t").request()
    assert request == {
        "system": "Be brief.",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Why?"}],
    }


def test_params_are_sent_as_they_are_but_for_the_model_that_the_chain_chooses() -> None:
    params = {"model": "m", "max_tokens": 5, "messages": [], "temperature": 0.5}
    assert Prompt(params=params).request() == {"max_tokens": 5, "messages": [], "temperature": 0.5}
    assert params["model"] == "m"


def test_who_makes_prompts_waits_for_no_database_and_no_queue() -> None:
    script = "import sys; from producer import Prompt; print({'sqlalchemy', 'celery', 'pydantic'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
