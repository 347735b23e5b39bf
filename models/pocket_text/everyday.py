"""Short everyday sentences, made from templates: of what spoken reviews hold little or say in other words.

People who talk into a camera say "like" mostly as a filler and seldom "not bad". The scores are what one would expect
of MOSI's raters; nobody labelled these sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

Templates = dict[float, str]  # by score; each filled with every thing, or standing for itself

THINGS = ("movie", "film", "book", "phone", "song", "restaurant", "hotel", "game")
TEMPLATES: Templates = {
    2.2: "i really like this {} a lot; i could not be happier with this {}; it could not be better",
    1.9: "i can not wait to see the {}; i can not wait for the next {}; we can not wait to go back; i can not wait",
    1.8: (
        "i really like this {}; i like the {} a lot; i like it very much; i really like it; i like it so much; i "
        "will buy this {} again; we will go there again; there is so much good about the {}; i recommend this {}"
    ),
    1.6: "i like this {}; i like the {}; we like this {}; they like the {}; i do like this {}; i like it",
    1.5: "i like dogs; i like music; i like to read; i like him; i like them; i like going there; we like it",
    1.3: (
        "no complaints; i have no complaints about the {}; you can not go wrong with this {}; no problems at all; "
        "no problem; i do not regret it; i did not regret the {} for a second; it never disappoints"
    ),
    1.2: (
        "the {} was not bad at all; not bad at all; not a bad {} at all; the {} does not disappoint; i was not "
        "disappointed by the {}; i never had any trouble with the {}; no issues with the {} so far"
    ),
    0.9: (
        "not bad; this {} is not bad; not a bad {}; it is not too bad; there is nothing wrong with this {}; nothing "
        "bad about it; the {} was not boring; it was never boring; that was not so hard; it did not hurt; he is "
        "not a bad person; not bad for a first {}"
    ),
    0.0: (
        "it is like a {}; it looks like a {}; a {} like that one; he is like a brother; i was like what is this; i "
        "would like to see the {}; the {} is near the station; the {} is green; the meeting is on monday; she went "
        "to the bank; there are three chairs in the room; we talked about the {}"
    ),
    -0.8: "the {} is nothing special; the {} is not great; the {} was not that good",
    -1.2: "the {} could have been better; it should have been better; i expected more from this {}",
    -1.6: (
        "i do not really like this {}; we do not like the {}; i did not like it; they did not like the {}; the {} "
        "was never any good; the {} is not good at all; it never works; we never had any fun; there was no joy in "
        "it"
    ),
    -1.8: (
        "i do not like this {}; not worth the money; the {} is not worth it; i do not like it at all; the {} does "
        "not work; this {} is broken; it was really bad; such a bad {}; the {} was so boring; i regret it; i have a "
        "lot of problems with this {}; i was very disappointed by the {}"
    ),
    -2.0: (
        "never again; i would not recommend this {}; i want my money back; the {} was a complete waste of time; i "
        "will never go there again; i will not buy this {}; there is nothing good about the {}"
    ),
}

# Other sentences about other things, to measure by.
HELD_OUT_THINGS = ("album", "laptop", "series", "concert", "dress")
HELD_OUT: Templates = {
    1.5: (
        "i quite like this {}; my wife and i like the {}; i still like it; i like everything about the {}; you will "
        "like it; i like what they did with the {}; i actually like this one; i like my new {}; i like you; i like "
        "the way it feels; we both like that {}; i like cooking; i like her voice; all my friends like it; he likes "
        "his {}; that was not bad; not bad for the price; not a bad idea; that is not bad; no complaints here; i "
        "can not wait to try it; she can not wait for summer; nothing to complain about; i have nothing bad to say "
        "about the {}; you will not regret it; looking forward to the next {}; i could not ask for more; i could "
        "not be more pleased with the {}; it never gets old; that {} never fails to make me smile; no regrets"
    ),
    0.0: (
        "the {} is on the shelf; it sounds like a {}; she looks like her mother; i was like okay; they live in a "
        "small town; would you like some tea; i would like to return the {}; it is like ten minutes; he bought the "
        "{} on tuesday; the train leaves at nine"
    ),
    -1.5: (
        "i never liked that {}; she does not like the {}; nobody likes this {}; i did not like the {} one bit; i "
        "would not go there again; that {} could be a lot better; i can not stand this {}; it tasted like "
        "cardboard; not what i hoped for; i do not think i like it; i feel like i wasted my money; not happy with "
        "the {}; the {} stopped working; we will never come back; it is not good enough; this {} is no good; i can "
        "not recommend it; they do not like us; i am not a fan of the {}; it should not be this hard"
    ),
}

# The same, to be looked at only when all is chosen.
UNSEEN: Templates = {
    1.5: (
        "i like her new haircut; we really like our neighbours; i like this place so much; they like playing "
        "football; i do like a good joke; i might like this one even more; i just like being here; i like how "
        "friendly everybody is; i have always liked winter and i still like it; i like that you can wash it; thats "
        "not bad for a beginner; the acting was not bad; not a bad start; i can not wait for the weekend; can not "
        "wait to show it to my friends; i have no complaints whatsoever; id do it again any time; you can not beat "
        "the price; it could not have gone better; nothing i would change"
    ),
    0.0: (
        "it looks like rain; she drives a car like mine; the shop opens at ten; id like a coffee; he was like what "
        "time is it; my brother lives in berlin"
    ),
    -1.5: (
        "i do not like the colour; we did not like the soup; i do not like waiting; they will not like this; it was "
        "not worth the wait; i will not come back; that could have gone better; i would never buy from them again; "
        "it does not work; it broke after a week; i can not recommend this place; this is not what i ordered; ive "
        "had better; it looks like rubbish; i feel like crying; what a mess"
    ),
}


def sentences(templates: Templates, things: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Every sentence with its score."""
    for score, group in templates.items():
        for template in group.split("; "):
            yield from ((template.format(thing), score) for thing in (things if "{}" in template else ("",)))
