// Fails when the JavaScript of the build is larger than the budget, compressed as it is sent.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const budget = 250 * 1024
const directory = new URL('../../assets/dist/assets/', import.meta.url)
const scripts = readdirSync(directory).filter((name) => name.endsWith('.js'))
if (scripts.length === 0) throw new Error('no scripts in the build: run npm run build first')
let total = 0
for (const name of scripts) {
  const size = gzipSync(readFileSync(new URL(name, directory)), { level: 9 }).length
  total += size
  console.log(`${name} ${(size / 1024).toFixed(1)} KB gzip`)
}
console.log(`${(total / 1024).toFixed(1)} KB of ${budget / 1024} KB gzip`)
if (total > budget) process.exit(1)
