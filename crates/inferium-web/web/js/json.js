// JSON with whole numbers as bigint: money and heights reach beyond what a double holds, and a
// receipt whose number was rounded would pass for another one.

/** Deepest nesting that is read. */
const DEPTH_MAX = 128;

/**
 * Parses a document; whole numbers become bigint, all others number.
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError}
 */
export function parseExact(text) {
  let at = 0;
  /** @returns {never} */
  const fail = () => {
    throw new SyntaxError(`not JSON, at character ${at}`);
  };
  const space = () => {
    while (at < text.length && " \t\n\r".includes(text.charAt(at))) at += 1;
  };
  /** @param {string} wanted */
  const eat = (wanted) => {
    if (!text.startsWith(wanted, at)) fail();
    at += wanted.length;
  };
  const string = () => {
    const start = at;
    eat('"');
    while (text.charAt(at) !== '"') {
      if (at >= text.length) fail();
      at += text.charAt(at) === "\\" ? 2 : 1;
    }
    at += 1;
    return JSON.parse(text.slice(start, at));
  };
  const number = () => {
    const found = /^-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/.exec(text.slice(at, at + 400));
    if (!found) return fail();
    at += found[0].length;
    return found[1] === undefined && found[2] === undefined ? BigInt(found[0]) : Number(found[0]);
  };
  /** @param {string} open @param {string} close @param {() => void} item */
  const items = (open, close, item) => {
    eat(open);
    space();
    if (text.charAt(at) !== close) {
      for (;;) {
        item();
        space();
        if (text.charAt(at) !== ",") break;
        at += 1;
      }
    }
    eat(close);
  };
  /** @param {number} depth @returns {any} */
  const value = (depth) => {
    if (depth > DEPTH_MAX) fail();
    space();
    const first = text.charAt(at);
    if (first === "{") {
      /** @type {Map<string, any>} */
      const fields = new Map();
      items("{", "}", () => {
        space();
        const name = string();
        space();
        eat(":");
        fields.set(name, value(depth + 1));
      });
      return Object.fromEntries(fields);
    }
    if (first === "[") {
      /** @type {any[]} */
      const list = [];
      items("[", "]", () => list.push(value(depth + 1)));
      return list;
    }
    if (first === '"') return string();
    for (const [word, meaning] of /** @type {[string, any][]} */ ([["true", true], ["false", false], ["null", null]])) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    return number();
  };
  const document = value(0);
  space();
  if (at !== text.length) fail();
  return document;
}
