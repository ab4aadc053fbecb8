// Builds the two module formats with the compiler alone: dist/esm and dist/cjs.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
for (const format of ['esm', 'cjs']) {
  execFileSync('npx', ['tsc', '-p', `tsconfig.${format}.json`], { stdio: 'inherit' });
  const type = format === 'esm' ? 'module' : 'commonjs';
  writeFileSync(`dist/${format}/package.json`, `${JSON.stringify({ type })}\n`);
}
