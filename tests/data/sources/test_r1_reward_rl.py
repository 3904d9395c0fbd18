"""Rows of R1-Reward-RL."""

import json

from support.sources import BASE64, JPEG, published, read, refused

from r1reward.core.pair import Media


def released(answer, image=BASE64):
    text = (
        "Compare.\n\n#### [Question]:\nWhere?\n\n#### [Response 1]:\nHere.\n\n"
        "#### [Response 2]:\nThere.\n\n#### **Output Format**:\n1/2"
    )
    content = [{"type": "text", "text": text}, {"type": "image", "image": "/mmu/x.jpg"}]
    message = json.dumps([{"role": "user", "content": content}])
    return {"question": "Where?", "message": message, "answer": [answer], "image": image}


def test_r1_reward_rl_names_the_better_response():
    image = (Media.embedded(JPEG),)
    [one] = read("r1_reward_rl", released("<answer>1</answer>"))
    assert one == published("Where?", "Here.", "There.", image, "r1_reward_rl", "")
    [two] = read("r1_reward_rl", released("<answer>2</answer>", "images/x.jpg"))
    assert two.preference.responses == ("There.", "Here.")
    assert two.preference.media == (Media("image", "images/x.jpg"),)


def test_r1_reward_rl_refuses_other_labels():
    reason, message = refused("r1_reward_rl", released("3"))
    assert reason == "text"
    assert "answer=['3']" in message
