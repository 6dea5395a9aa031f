"""What a text may say beside its title: a mark that is not set is sure."""

import re

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.marks import GUESTS_MARK, RELEASE_MARK, VERSION_MARK, find_marks
from musicrec.catalog.names import BRACKETED, LAST_PART, OF_ARTIST, RELEASE_SUFFIX, UNBRACKETED, VERSION

WORDS = (
    "T", "(", ")", "[", "【", "】", "«", "~", " feat. ", "FT ", "w/", "with\t", "featuring ", " - ",
    "–", " — ", "Live", " ", "  ",
    "edit", "Radio Edit", "/ ", "; ", ", ", "Remix", "acoustic version", "2011 Mix", "é", "Demo ", "-",
)  # fmt: skip
EXPRESSIONS = {
    GUESTS_MARK: (BRACKETED, UNBRACKETED, OF_ARTIST),
    RELEASE_MARK: (RELEASE_SUFFIX,),
    VERSION_MARK: (LAST_PART, VERSION),
}


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("".join))
@settings(max_examples=600, deadline=None)
def test_where_no_mark_is_no_expression_finds_anything(text: str) -> None:
    marks = int(find_marks(pa.array([text]))[0])
    for mark, expressions in EXPRESSIONS.items():
        if not marks & mark:
            assert not any(re.search(expression, text) for expression in expressions)


def test_most_titles_have_no_mark() -> None:
    plain = ["Harbour Lights", "Été sans fin", "Withered", "Drift", "Alone", "Jay-Z", "AC/DC", "Fifty; five", ""]
    assert find_marks(pa.array(plain)).tolist() == [0] * 7 + [RELEASE_MARK, 0]
    both = RELEASE_MARK | VERSION_MARK
    marked = ["T (x)", "T feat. U", "T - U", "T Live", "T radio edit"]
    assert find_marks(pa.array(marked)).tolist() == [both, GUESTS_MARK, both, VERSION_MARK, RELEASE_MARK]
