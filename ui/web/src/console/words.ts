/** What was typed, split as redis-cli splits it: quotes group, "\n" and "\x00" escape inside double quotes. */
export function splitWords(line: string): string[] {
  const words: string[] = []
  let at = 0
  while (at < line.length) {
    if (/\s/.test(line.charAt(at))) {
      at++
      continue
    }
    let word = ''
    while (at < line.length && !/\s/.test(line.charAt(at))) {
      const quote = line.charAt(at)
      if (quote === '"' || quote === "'") {
        const read = readQuoted(line, at + 1, quote)
        word += read.text
        at = read.end
        if (at < line.length && !/\s/.test(line.charAt(at))) throw new Error('A space must follow a closing quote')
      } else {
        word += quote
        at++
      }
    }
    words.push(word)
  }
  return words
}

const escapes: Record<string, string> = { n: '\n', r: '\r', t: '\t', a: '\u0007', b: '\b' }

function readQuoted(line: string, start: number, quote: string): { text: string; end: number } {
  let text = ''
  let at = start
  while (at < line.length) {
    const character = line.charAt(at)
    if (character === quote) return { text, end: at + 1 }
    if (character === '\\' && quote === '"') {
      const hex = /^\\x([0-9a-fA-F]{2})/.exec(line.slice(at))
      if (hex) {
        text += String.fromCharCode(Number.parseInt(hex[1] ?? '', 16))
        at += 4
      } else {
        const next = line.charAt(at + 1)
        text += escapes[next] ?? next
        at += 2
      }
    } else if (character === '\\' && line.charAt(at + 1) === "'") {
      text += "'"
      at += 2
    } else {
      text += character
      at++
    }
  }
  throw new Error('A quote is not closed')
}
