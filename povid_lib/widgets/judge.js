// Which words of a caption are false of a scene: objects that are not there; and of those there a wrong number, size, colour or place.

const NUMBERS = ["one", "two", "three"];
const RELATION = /\b(?:to the left of|to the right of|above|below)\b/;

// -> [{from, to, verdict: "true" | "false", why}] with places in the text, in order
export function judged(text, items, { words, sizes, colours, positions }) {
  const found = [], known = new Map(Object.entries(words)), places = [...positions].sort((a, b) => b.length - a.length);
  let from = 0;
  for (const sentence of text.split(/(?<=[.!?])/)) {
    const at = from, said = sentence.toLowerCase(), mark = (start, length, fits, why) =>
      found.push({ from: at + start, to: at + start + length, verdict: fits ? "true" : "false", why });
    from += sentence.length;
    const named = [...said.matchAll(/[a-z]+/g)].filter(([word]) => known.has(word));
    for (const { 0: word, index } of named) {
      const there = items.some((item) => item.name === known.get(word));
      mark(index, word.length, there, there ? "in the picture" : "not in the picture");
    }
    const own = items.filter((item) => item.name === known.get(named[0]?.[0]));
    if (named.length !== 1 || !own.length || RELATION.test(said)) continue;
    const cells = own.flatMap((item) => item.cells);
    for (const { 0: word, index } of said.slice(0, named[0].index).matchAll(/[a-z]+/g)) {
      if (sizes.includes(word)) mark(index, word.length, own.some((item) => item.size === word), `it is ${own.map((i) => i.size).join(", ")}`);
      if (colours.includes(word)) mark(index, word.length, own.some((item) => item.colour === word), own[0].colour ? `it is ${own.map((i) => i.colour).join(", ")}` : "it has its own colours");
      if (NUMBERS.includes(word)) mark(index, word.length, NUMBERS.indexOf(word) + 1 === cells.length, `there ${cells.length === 1 ? "is" : "are"} ${cells.length}`);
    }
    const after = named[0].index + named[0][0].length, place = places.find((name) => new RegExp(`\\b(?:at|on|in) the ${name}\\b`).test(said.slice(after)));
    if (place) mark(said.indexOf(place, after), place.length, cells.some((cell) => positions[cell] === place), `it is at: ${cells.map((cell) => positions[cell]).join(", ")}`);
  }
  return found.sort((a, b) => a.from - b.from);
}
