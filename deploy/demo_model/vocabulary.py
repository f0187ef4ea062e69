"""A vocabulary in the manner of SentencePiece BPE, and the encoder that goes with it.

Ids: 0 <unk>, 1 <s>, 2 </s>, 3..258 the bytes <0x00>..<0xFF>, then the pieces in the order in which they were learnt,
then single characters. A piece's score is minus its rank, so "merge the adjacent pair whose union scores highest",
which is how engines encode, replays the order of learning. '▁' (U+2581) stands for a space.

A piece never crosses a space and never mixes letters with anything else; a text can therefore be encoded chunk by
chunk, with the same result as all at once.
"""

import collections
import re

UNK, BOS, EOS, FIRST_BYTE, FIRST_PIECE = 0, 1, 2, 3, 259
TYPE_NORMAL, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_BYTE = 1, 2, 3, 6
SPACE = "\u2581"
_CHUNK = re.compile(r"\u2581?[A-Za-z]+|\u2581?[^A-Za-z\u2581]+|\u2581")
_NO_PIECE = "\n"  # written as the byte <0x0A>, as SentencePiece does


class Vocabulary:
    def __init__(self, tokens, scores, types):
        self.tokens, self.scores, self.types = tokens, scores, types
        self.score_of = {t: s for t, s, kind in zip(tokens, scores, types) if kind == TYPE_NORMAL}
        self.id_of = {t: i for i, t in enumerate(tokens)}
        self._cache = {}

    def encode(self, text, add_space_prefix=True):
        """Ids of `text`, without BOS and EOS."""
        text = text.replace(" ", SPACE)
        if add_space_prefix and text:
            text = SPACE + text
        ids = []
        for chunk in _CHUNK.findall(text):
            if chunk not in self._cache:
                self._cache[chunk] = self._encode_chunk(chunk)
            ids.extend(self._cache[chunk])
        return ids

    def decode(self, ids):
        """Text of `ids`; control tokens are left out, one leading space is the prefix and goes too."""
        data = b""
        for i in ids:
            if self.types[i] == TYPE_BYTE:
                data += bytes([i - FIRST_BYTE])
            elif self.types[i] == TYPE_NORMAL:
                data += self.tokens[i].replace(SPACE, " ").encode()
        return data.decode(errors="replace").removeprefix(" ")

    def _encode_chunk(self, chunk):
        symbols = list(chunk)
        while True:
            best, best_score = -1, -float("inf")
            for i in range(len(symbols) - 1):
                score = self.score_of.get(symbols[i] + symbols[i + 1], -float("inf"))
                if score > best_score:
                    best, best_score = i, score
            if best < 0:
                break
            symbols[best : best + 2] = [symbols[best] + symbols[best + 1]]
        ids = []
        for symbol in symbols:
            if symbol in self.score_of:
                ids.append(self.id_of[symbol])
            else:
                ids.extend(FIRST_BYTE + byte for byte in symbol.encode())
        return ids


def learn(texts, size):
    """Learns a vocabulary of `size` tokens from `texts` (an iterable of str). Deterministic."""
    words = collections.Counter()
    for text in texts:
        words.update(c for line in text.split(_NO_PIECE) for c in _CHUNK.findall(line.replace(" ", SPACE)))
    characters = sorted({c for word in words for c in word})
    pieces = _learn_merges(words, size - FIRST_PIECE - len(characters)) + characters
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + pieces
    scores = [0.0] * FIRST_PIECE + [-float(rank) for rank in range(len(pieces))]
    types = [TYPE_UNKNOWN, TYPE_CONTROL, TYPE_CONTROL] + [TYPE_BYTE] * 256 + [TYPE_NORMAL] * len(pieces)
    return Vocabulary(tokens, scores, types)


def _learn_merges(words, count):
    """Byte pair encoding: joins the most frequent adjacent pair until `count` different pieces are made."""
    spelled = [[list(word), n] for word, n in sorted(words.items())]
    pair_count, pair_words = collections.Counter(), collections.defaultdict(set)
    for index, (symbols, n) in enumerate(spelled):
        for pair in zip(symbols, symbols[1:]):
            pair_count[pair] += n
            pair_words[pair].add(index)
    pieces = []
    while len(pieces) < count:
        left, right = max(pair_count, key=lambda pair: (pair_count[pair], pair))
        if left + right not in pieces:
            pieces.append(left + right)
        for index in sorted(pair_words[left, right]):
            symbols, n = spelled[index]
            for pair in zip(symbols, symbols[1:]):
                pair_count[pair] -= n
            i = 0
            while i < len(symbols) - 1:
                if symbols[i] == left and symbols[i + 1] == right:
                    symbols[i : i + 2] = [left + right]
                i += 1
            for pair in zip(symbols, symbols[1:]):
                pair_count[pair] += n
                pair_words[pair].add(index)
        del pair_count[left, right], pair_words[left, right]
    return pieces
