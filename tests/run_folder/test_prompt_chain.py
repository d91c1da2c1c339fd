from hypothesis import given
from hypothesis import strategies as st

from dux_agent.run_folder.prompt_chain import PromptChain

messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=2)}
    ),
    max_size=5,
)
chats = st.lists(st.tuples(messages, st.none() | st.text(max_size=2)), max_size=6)


@given(chats)
def test_what_was_shortened_is_made_whole_again(chat):
    writer, reader = PromptChain(), PromptChain()

    for told, reply in chat:
        short = writer.shorten({"messages": told, "digest": "d"})
        whole = reader.whole(short)

        assert told == whole["messages"]
        assert "d" == whole["digest"]
        for chain in (writer, reader) if reply is not None else ():
            chain.replied(reply)


def test_a_long_chat_is_written_in_length_that_grows_with_it_and_not_its_square():
    writer, chat, written = PromptChain(), [], 0
    for turn in range(100):
        chat.append({"role": "user", "content": f"question {turn}"})
        written += len(writer.shorten({"messages": list(chat)})["messages"])
        writer.replied(f"answer {turn}")
        chat.append({"role": "assistant", "content": f"answer {turn}"})

    assert 100 == written


def test_what_cannot_be_made_whole_stays_as_it_is():
    data = {"messages": [{"role": "user", "content": "?"}], "same": 3}

    assert data == PromptChain().whole(data)
    assert {"messages": 5} == PromptChain().whole({"messages": 5})
