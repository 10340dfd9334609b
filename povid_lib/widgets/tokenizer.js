// Byte-level BPE from the model's own header: text -> ids and back, and the prompt of a question.

// bytes as the tokenizer's file spells them: printable ones stand for themselves, the rest for letters from 256 on
function spelling() {
  const own = [...Array(256).keys()].filter((b) => (b > 32 && b < 127) || (b > 160 && b !== 173));
  let next = 256;
  return [...Array(256).keys()].map((b) => String.fromCodePoint(own.includes(b) ? b : next++));
}

const WORDS = /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

export function tokenizer({ tokens, special, merges, before, after }) {
  const letters = spelling(), bytes = new Map(letters.map((letter, b) => [letter, b]));
  const ids = new Map(tokens.map((token, id) => [token, id])), ranks = new Map(merges.map((pair, rank) => [pair, rank]));
  const text = tokens.map((token) => special.includes(token) ? token
    : new TextDecoder().decode(Uint8Array.from([...token].map((letter) => bytes.get(letter)))));

  function word(piece) {
    let parts = Array.from(new TextEncoder().encode(piece), (b) => letters[b]);
    for (;;) {
      const found = parts.slice(1).map((part, i) => ranks.get(`${parts[i]} ${part}`) ?? Infinity), best = Math.min(...found);
      if (!(best < Infinity)) return parts.map((part) => ids.get(part));
      const at = found.indexOf(best);
      parts = [...parts.slice(0, at), parts[at] + parts[at + 1], ...parts.slice(at + 2)];
    }
  }

  function encode(whole) {
    const out = [];
    for (let rest = whole; rest.length;) {
      const next = special.map((token) => [rest.indexOf(token), token]).filter(([at]) => at >= 0).sort((a, b) => a[0] - b[0])[0];
      for (const piece of rest.slice(0, next ? next[0] : rest.length).match(WORDS) ?? []) out.push(...word(piece));
      if (next) out.push(ids.get(next[1]));
      rest = next ? rest.slice(next[0] + next[1].length) : "";
    }
    return out;
  }

  // what a reader types stays text: no question can hold one of the model's own signs
  const plain = (question) => special.reduce((kept, token) => kept.replaceAll(token, " "), question);
  return { text, encode, prompt: (question) => encode(before + plain(question) + after) };
}
