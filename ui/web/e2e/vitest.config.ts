import { defineConfig } from 'vitest/config'

// One file after the other: each has its own server, and figures of frames mean nothing while another browser works.
export default defineConfig({
  test: { include: ['e2e/**/*.e2e.ts'], fileParallelism: false, testTimeout: 30_000, hookTimeout: 60_000 },
})
